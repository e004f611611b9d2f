// Nothing: the precompiled headers of all tests need a target that they belong to.
