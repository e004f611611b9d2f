#!/usr/bin/env python3
"""Chat templates that use what those of published models use, and what transformers makes of messages with them.

    pip install transformers==5.24.0 tokenizers==0.23.3 jinja2==3.1.6
    make_templates.py

Writes cases.jsonl next to itself, one object a line:

    {"name", "template", "row": {"messages": [...], ...}, "text"}    text: apply_chat_template(messages, tokenize=False)

bos_token is <s>, eos_token </s>, unk_token <unk>.
"""
import json
import os
from pathlib import Path

os.environ["HF_HUB_OFFLINE"] = "1"
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast

HERE = Path(__file__).resolve().parent

CHAT = [{"role": "system", "content": " You are kind. "}, {"role": "user", "content": "Hello, \"wörld\"!\n"},
        {"role": "assistant", "content": "  Hi <there>\n\nyou "}, {"role": "user", "content": "2 + 2?"}, {"role": "assistant", "content": "4"}]
SHORT = CHAT[1:3]
TOOLS = [{"type": "function", "function": {"name": "add", "description": "Adds <two> numbers", "parameters": {
    "type": "object", "properties": {"b": {"type": "number"}, "a": {"type": "number", "enum": [1, 2.5, None, True]}}, "required": ["a", "b"]}}}]
CALLS = SHORT + [{"role": "assistant", "content": None, "tool_calls": [{"type": "function", "function": {"name": "add", "arguments": {"b": 2, "a": 1.0}}}]},
                 {"role": "tool", "name": "add", "content": "3"}, {"role": "assistant", "reasoning_content": "three", "content": "<think>\nx\n</think>\n\nIt is 3."}]
PARTS = [{"role": "user", "content": [{"type": "text", "text": "one"}, {"type": "image"}, {"type": "text", "text": "two"}]}]

CASES = {
    "chatml": ("{% for message in messages %}{{'<|im_start|>' + message['role'] + '\n' + message['content'] + '<|im_end|>' + '\n'}}{% endfor %}"
               "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}", {"messages": CHAT}),
    "chatml_default_system": ("{% for message in messages %}{% if loop.first and messages[0]['role'] != 'system' %}{{ 'system\nYou help' }}{% endif %}"
                              "{{ message.role ~ ':' ~ message.content | trim }}{% if (loop.last and not add_generation_prompt) or not loop.last %}{{ '\n' }}{% endif %}{% endfor %}",
                              {"messages": SHORT}),
    "inst_alternating": ("{% if messages[0]['role'] == 'system' %}{% set loop_messages = messages[1:] %}{% set system_message = messages[0]['content'] %}"
                         "{% else %}{% set loop_messages = messages %}{% set system_message = false %}{% endif %}{% for message in loop_messages %}"
                         "{% if (message['role'] == 'user') != (loop.index0 % 2 == 0) %}{{ raise_exception('Roles must alternate') }}{% endif %}"
                         "{% if loop.index0 == 0 and system_message != false %}{% set content = '<<SYS>>\\n' + system_message + '\\n<</SYS>>\\n\\n' + message['content'] %}"
                         "{% else %}{% set content = message['content'] %}{% endif %}{% if message['role'] == 'user' %}{{ bos_token + '[INST] ' + content.strip() + ' [/INST]' }}"
                         "{% elif message['role'] == 'assistant' %}{{ ' ' + content.strip() + ' ' + eos_token }}{% endif %}{% endfor %}", {"messages": CHAT}),
    "headers_with_bos": ("{% set loop_messages = messages %}{% for message in loop_messages %}{% set content = '<|h|>' + message['role'] + '<|e|>\n\n'+ message['content'] | trim + '<|eot|>' %}"
                         "{% if loop.index0 == 0 %}{% set content = bos_token + content %}{% endif %}{{ content }}{% endfor %}", {"messages": CHAT}),
    "lines_and_blanks": ("{%- for message in messages %}\n    {%- if message.role == 'user' %}\n        {{- '<u>' }}\n    {% elif message.role == 'assistant' -%}\n  <a>\n"
                         "    {%- else %}\n    {% set kind = message.role | upper %}\n   {{ kind }}\n    {%+ endif %}\n  {# a comment #}\n  {{ message.content }}\n{% endfor %}\nend\n\n",
                         {"messages": CHAT}),
    "namespace": ("{%- set ns = namespace(found=false, n=0, last='') %}{%- for m in messages[::-1] %}{%- set ns.n = ns.n + 1 %}{%- if m.role == 'user' and not ns.found %}"
                  "{%- set ns.found = true %}{%- set ns.last = m.content %}{%- endif %}{%- endfor %}{{ ns.found }} {{ ns.n }} {{ ns.last | trim }} {{ ns.missing is defined }}", {"messages": CHAT}),
    "tools": ("{%- if tools %}\n    {{- '# Tools\\n' }}\n    {%- for tool in tools %}\n        {{- \"\\n\" }}\n        {{- tool | tojson }}\n    {%- endfor %}\n{%- endif %}\n"
              "{%- for tool in tools -%}{{ tool.function | tojson(indent=2) }}{% endfor %}{%- for message in messages %}\n{%- if message.role == 'assistant' and message.tool_calls %}"
              "{%- for tool_call in message.tool_calls %}{%- if tool_call.function is defined %}{%- set tool_call = tool_call.function %}{%- endif %}"
              "{{- '\\n<call>\\n{\"name\": \"' + tool_call.name + '\", \"arguments\": ' }}{{- tool_call.arguments | tojson }}{{- '}\\n</call>' }}{%- endfor %}"
              "{%- elif message.role == 'tool' %}{{- '\\n<result>' ~ message.content ~ '</result>' }}{%- else %}{{- '\\n' + message.role + ': ' + (message.content or '') }}{%- endif %}{%- endfor %}",
              {"messages": CALLS, "tools": TOOLS}),
    "thoughts": ("{%- for message in messages %}{%- set content = message.content if message.content is string else '' %}{%- set thought = '' %}"
                 "{%- if message.reasoning_content is string %}{%- set thought = message.reasoning_content %}{%- elif '</think>' in content %}"
                 "{%- set thought = content.split('</think>')[0].rstrip('\\n').split('<think>')[-1].lstrip('\\n') %}{%- endif %}"
                 "{%- if '</think>' in content %}{%- set content = content.split('</think>')[-1].lstrip('\\n') %}{%- endif %}[{{ thought }}|{{ content }}]{%- endfor %}",
                 {"messages": CALLS}),
    "parts": ("{% for m in messages %}{% if m.content is string %}{{ m.content }}{% else %}{% for p in m['content'] | selectattr('type', 'equalto', 'text') %}<{{ p['text'] }}>{% endfor %}"
              "{% for p in m.content if p.type == 'image' %}IMG{% else %}none{% endfor %}{{ m.content | map(attribute='text') | select | join('+') }}"
              "{{ m.content | rejectattr('text', 'defined') | list | length }}{% endif %}{% endfor %}", {"messages": PARTS}),
    "macros": ("{% macro say(m, sep=': ', end='') %}{{ m.role }}{{ sep }}{{ m.content | trim }}{{ end }}{% endmacro %}{% for m in messages %}{{ say(m) }}|{{ say(m, end='!', sep='=') }}\n{% endfor %}", {"messages": SHORT}),
    "break_and_continue": ("{% for m in messages %}{% if m.role == 'system' %}{% continue %}{% endif %}{{ loop.index }}{{ m.role }}{% if loop.index > 3 %}{% break %}{% endif %},{% endfor %}", {"messages": CHAT}),
    "generation": ("{% for m in messages %}{% if m.role == 'assistant' %}{% generation %}{{ m.content }}{{ eos_token }}{% endgeneration %}{% else %}{{ m.content }}{% endif %}{% endfor %}", {"messages": SHORT}),
    "values": ("{{ [1, 2.0, 'a\\'b', true, none, {'k': (1,)}] }} {{ 7 // 2 }} {{ -7 // 2 }} {{ 7 % 3 }} {{ -7 % 3 }} {{ 7 / 2 }} {{ 2 ** 10 }} {{ 1e0 if false else 1.50 }} {{ 'ab' * 2 }} {{ [1] + [2] }} "
               "{{ 'x' in 'xyz' }} {{ 1 not in [1] }} {{ 1 < 2 < 3 }} {{ not 1 == 2 }} {{ 'a' ~ 1 ~ none }} {{ (1, 2)[0] }} {{ 'wörld'[1] }} {{ 'wörld'[-3:] }} {{ [1,2,3][:-1] }} {{ {'a': 1}.a }} {{ {'a': 1}['b'] is undefined }}",
               {"messages": SHORT}),
    "filters": ("{{ 'a b c' | replace(' ', '_') }} {{ 'AbC' | lower }} {{ 'abc' | upper }} {{ 'abc def' | title }} {{ 'abc DEF' | capitalize }} {{ ['b', 'A', 'c'] | sort | join(',') }} {{ [3, 1, 2] | sort(reverse=true) | first }} "
                "{{ missing | default('d') }} {{ '' | default('e', true) }} {{ 'x' | length }} {{ 'x\ny\n\nz' | indent(2) }} {{ 'x\ny' | indent(2, true) }} {{ {'b': 1, 'a': 2} | dictsort }} {{ {'b': 1, 'a': 2} | items | list }} "
                "{{ '12' | int + 1 }} {{ 'q' | int(7) }} {{ '1.5' | float }} {{ 3.7 | int }} {{ 2.5 | round }} {{ 3.14159 | round(2) }} {{ [1, 1, 2] | unique | list }} {{ [1, 2, 3] | sum }} {{ [1, 2, 3] | max }} {{ 'abc' | reverse }} "
                "{{ [1, 2] | reverse | list }} {{ '<a&\"b\">' | e }} {{ ['a', 'b'] | map('upper') | join }} {{ -3 | abs }} {{ [0, 1, ''] | select | list }} {{ 'abc' | list }} {{ [[1, 2], [3]] | map('length') | list }}", {"messages": SHORT}),
    "methods": ("{{ ' a '.strip() }}|{{ 'xxaxx'.strip('x') }}|{{ 'a,b,c'.split(',') }}|{{ 'a,b,c'.split(',', 1) }}|{{ ' a  b '.split() }}|{{ 'a,b,c'.rsplit(',', 1) }}|{{ 'abc'.startswith('ab') }}|{{ 'abc'.endswith(('x', 'c')) }}|"
                "{{ 'abcabc'.find('c') }}|{{ 'abcabc'.rfind('c') }}|{{ 'abcabc'.count('bc') }}|{{ 'a-b'.replace('-', '+') }}|{{ 'Ab'.lower() }}|{{ 'ab'.upper() }}|{{ 'a\nb\r\nc\n'.splitlines() }}|{{ ', '.join(['x', 'y']) }}|"
                "{{ {'a': 1}.get('a') }}|{{ {'a': 1}.get('b', 'c') }}|{{ {'a': 1, 'b': 2}.keys() | list }}|{{ {'a': 1}.values() | list }}|{% for k, v in {'a': 1, 'b': [2]}.items() %}{{ k }}={{ v }};{% endfor %}|"
                "{{ 'prefix-x'.removeprefix('prefix-') }}|{{ '12'.isdigit() }}|{{ [1, 2, 1].count(1) }}|{{ [4, 5].index(5) }}", {"messages": SHORT}),
    "tests": ("{{ 1 is number }} {{ 'a' is string }} {{ {} is mapping }} {{ [] is iterable }} {{ [] is sequence }} {{ none is none }} {{ x is undefined }} {{ 3 is odd }} {{ 4 is divisibleby 2 }} {{ 2 is in [1, 2] }} {{ true is boolean }} "
              "{{ 1 is integer }} {{ 1.5 is float }} {{ false is false }} {{ 1 is eq 1 }} {{ 2 is gt(1) }} {{ 'a' is not string }} {{ range is callable }} {{ 1 is sameas 1 if false else 'n' }}", {"messages": SHORT}),
    "loops": ("{% for m in messages %}{{ loop.index }}/{{ loop.length }} {{ loop.revindex }} {{ loop.revindex0 }} {{ loop.first }} {{ loop.last }} {{ loop.cycle('a', 'b') }} {{ loop.previtem.role if loop.previtem is defined else '-' }} "
              "{{ loop.nextitem.role if not loop.last else '-' }};{% endfor %}{% for i in range(2, 9, 3) %}{{ i }}{% endfor %}{% for i in [] %}{% else %}empty{% endfor %}{% for a, b in [(1, 2), [3, 4]] %}{{ a + b }}{% endfor %}", {"messages": CHAT}),
    "scopes": ("{% set x = 1 %}{% for m in messages %}{% set x = x + 1 %}{{ x }}{% endfor %}{{ x }}{% if true %}{% set x = 9 %}{% endif %}{{ x }}{% set a, b = 1, 2 %}{{ a }}{{ b }}{% set block | trim %}  {{ x }} text {% endset %}[{{ block }}]", {"messages": CHAT}),
    "raw_and_strings": ("{% raw %}{{ not }} {% this %}{% endraw %}{{ 'a' 'b' }}{{ \"tab\\tquote\\\"\" }}{{ '\\u00e9\\x41' }}{{ 'brace }} %}' }}{ single } {{ '{{' }}", {"messages": SHORT}),
    "documents": ("{% if documents %}{% for d in documents %}{{ d.title }}: {{ d['text'] }}\n{% endfor %}{% endif %}{{ tools is none }}{{ messages | tojson }}", {"messages": SHORT, "documents": [{"title": "T", "text": "X"}]}),
    "json_styles": ("{{ messages | tojson(ensure_ascii=True) }}\n{{ tools | tojson(indent=4, sort_keys=True) }}\n{{ {'a': [], 'b': {}, 'c': 1.0, 'd': none} | tojson(separators=(',', ':')) }}\n{{ [] | tojson(indent=2) }}", {"messages": SHORT, "tools": TOOLS}),
    "nested_conditions": ("{% for message in messages %}{% if message['role'] == 'user' or message['role'] == 'tool' and not (message.name is defined) %}U{{ message.content[:3] }}{% elif message['role'] not in ['user', 'tool'] %}"
                          "{% if 'tool_calls' in message and message['tool_calls'] is not none %}C{{ message['tool_calls'] | length }}{% else %}A{% endif %}{% endif %}{% endfor %}", {"messages": CALLS}),
}


def main():
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=Tokenizer(models.WordLevel({"<s>": 0, "</s>": 1, "<unk>": 2}, unk_token="<unk>")),
                                        bos_token="<s>", eos_token="</s>", unk_token="<unk>")
    with open(HERE / "cases.jsonl", "w") as lines:
        for name, (template, row) in CASES.items():
            text = tokenizer.apply_chat_template(row["messages"], chat_template=template, tokenize=False,
                                                 tools=row.get("tools"), documents=row.get("documents"))
            lines.write(json.dumps({"name": name, "template": template, "row": row, "text": text}, ensure_ascii=False) + "\n")
            print(f"{name}: {text!r}")


if __name__ == "__main__":
    main()
