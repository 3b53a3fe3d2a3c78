"""`cadenza train`: the recipe's mistakes are the user's, and told in one line."""


def test_bad_recipes(cadenza, tmp_path):
    (tmp_path / "empty.py").write_text("")
    for arguments, words in (
        (("missing.py",), "no recipe missing.py"),
        (("empty.py",), "is not a recipe"),
    ):
        result = cadenza("train", *arguments)
        assert (result.code, result.err.count("\n")) == (2, 1), result.err
        assert words in result.err


def test_bad_corpora(cadenza):
    result = cadenza("corpus", "build", "--out", "x", "--hours", "-1")
    assert (result.code, result.err.count("\n")) == (2, 1), result.err
    assert "hours=-1" in result.err
