"""The bash completion offers what the help lists: commands, and each command's options, no more."""
import re
import subprocess

import lathe


def completed(script, *words):
    """What bash offers at the end of these words."""
    program = ('source "$1"; shift; COMP_WORDS=("$@"); COMP_CWORD=$(($# - 1)); _lathe; '
               'printf "%s\\n" "${COMPREPLY[@]}"')
    done = subprocess.run(["bash", "-euc", program, "bash", str(script), *words], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return done.stdout.split()


def help_of(*command):
    return lathe.run([*command, "--help"]).stdout


def options_in(text):
    """The names at the beginnings of the help's lines, and those that a value follows."""
    lines = re.findall(r"^  ((?:-\w,)?-[-\w,]+)( \S+)?", text, re.M)
    names = {name for group, _ in lines for name in group.split(",")}
    valued = {name for group, value in lines if value.strip().isupper() or ":" in value for name in group.split(",")}
    return names, valued


def offers_what_the_help_lists():
    with lathe.Scratch() as scratch:
        script = scratch / "lathe.bash"
        script.write_text(lathe.run(["--bash-completion"]).stdout)
        text = help_of()
        commands = re.findall(r"^  (\w+) ", text.split("Subcommands:")[1], re.M)
        assert len(commands) > 10, text
        assert sorted(completed(script, "lathe", "")) == sorted(commands)
        assert sorted(completed(script, "lathe", "re")) == ["report", "resume"]
        common, common_valued = options_in(text)
        assert {"--json", "--version", "-q"} <= common and "--exit-file" in common_valued, text
        assert set(completed(script, "lathe", "-")) == common
        for command in commands:
            own, valued = options_in(help_of(command))
            offered = completed(script, "lathe", "--json", command, "-")
            assert set(offered) == own | common, (command, set(offered) ^ (own | common))
            for option in valued:  # a value follows: nothing of ours, so that bash offers files
                assert completed(script, "lathe", command, option, "-") == [], (command, option)
            assert completed(script, "lathe", command, "r") == [], command
        assert completed(script, "lathe", "run", "--cal") == ["--calibration"]


lathe.main([offers_what_the_help_lists])
