"""Tables as people keep them."""

from pathlib import Path

import pytest
from mlops_loop.data import tables
from mlops_loop.data.tables import read_chunks, read_table
from mlops_loop.files import BrokenFile
from mlops_loop.project import UserError


@pytest.mark.parametrize(
    ("content", "names", "row"),
    [
        (b"a,b\n1,2\n", ["a", "b"], ("1", "2")),
        (b"a;b\n1,5;2\n", ["a", "b"], ("1,5", "2")),
        (b"a\tb\n1\t2\n", ["a", "b"], ("1", "2")),
        (b'a,b\n"x, ""y""",2\n', ["a", "b"], ('x, "y"', "2")),
        (b'a,b\r\n"x\r\ny",2\r\n\r\n', ["a", "b"], ("x\r\ny", "2")),
        (b"\xef\xbb\xbfa,b\n1,\n", ["a", "b"], ("1", None)),
        ("a,b\n1,2\n".encode("utf-16"), ["a", "b"], ("1", "2")),
        ("größe,b\n1,é\n".encode("latin-1"), ["größe", "b"], ("1", "é")),
        (b" a , b c\n1,2\n", ["a", "b c"], ("1", "2")),
        (b"a,a,,class\n1,2,3,4\n", ["a", "a_2", "column_3", "class"], ("1", "2", "3", "4")),
        (b"alone\n1\n", ["alone"], ("1",)),
        (b"\nalone\n1\n", ["alone"], ("1",)),
        (b"a,b\n\n1,2\n,\n,\n", ["a", "b"], ("1", "2")),
        (b"a,b\r1,2\r", ["a", "b"], ("1", "2")),
        (b"sep=;\na;b\n1,5;2\n", ["a", "b"], ("1,5", "2")),
        (b"a,b\n'1','x, y'\n", ["a", "b"], ("1", "x, y")),
        (b"Trees,of 2024\n\nwood,a,b\noak,1,2\n", ["wood", "a", "b"], ("oak", "1", "2")),
        (b"By,year\n\nwood,2019,2020\noak,1,2\n", ["wood", "2019", "2020"], ("oak", "1", "2")),
        (b"Trees,,\nwood,a,b\noak,1,2\n", ["wood", "a", "b"], ("oak", "1", "2")),
    ],
)
def test_dialects(tmp_path: Path, content: bytes, names: list[str], row: tuple[str, ...]) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    table = read_table(tmp_path / "x.csv")
    assert table.columns == names
    assert table.rows() == [row]


def test_a_file_is_cut_between_its_rows(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    lines = ["name,note", 'a,"two\n\nlines"', "", "b,é", ",", 'c,"x, ""y"""', "d,"]
    expected = [("a", "two\n\nlines"), ("b", "é"), (None, None), ("c", 'x, "y"'), ("d", None)]
    path = tmp_path / "x.csv"
    path.write_text("\r\n".join(lines), newline="")
    for size in (32, 64, 1_000):
        monkeypatch.setattr(tables, "BLOCK_BYTES", size)
        assert read_table(path).rows() == expected
        chunks = list(read_chunks(path))
        for skip in (1, 2):
            rest = [chunk.rows() for chunk in read_chunks(path, skip)]
            assert rest == [chunk.rows() for chunk in chunks[skip:]]


def test_a_letter_of_windows_is_found_anywhere(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"a,b\n" + b"1,2\n" * 40_000 + b"\xe9,3\n")
    assert read_table(tmp_path / "x.csv").row(-1) == ("é", "3")


@pytest.mark.parametrize("first", [b"n/a,NA,-,x,z", b"low,no,3,x,z", b",,,x,z", b"few,few,,x,z"])
def test_a_first_row_with_words_is_a_row(tmp_path: Path, first: bytes) -> None:
    rows = b"1,2,3,k%d,y%d\n" * 2 + b"few,few,3,k,y\n"
    below = b"".join(rows % (i, i, i, i) for i in range(9))
    (tmp_path / "x.csv").write_bytes(b"a,b,c,d,e\n" + first + b"\n" + below)
    assert read_table(tmp_path / "x.csv").height == 28


def test_a_blank_line_is_a_missing_value_of_a_single_column(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b"alone\n1\n\n2\n")
    assert read_table(tmp_path / "x.csv").rows() == [("1",), (None,), ("2",)]


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b'a,b\n1,"2\n3,4\n', "a quote is not closed"),
        (
            b"a,b\n1,2\nSource: us\n",
            "Row #3: Expected 2 columns, got 1: .*; delete it if it is a note",
        ),
        ("a,b\nü,2\n".encode() + b"\xe9,3\n", "some bytes are not UTF-8, as its other letters"),
        ("a,b\nü,2\n".encode() + b"1,2\n" * 40_000 + b"\xe9,3\n", "some bytes are not UTF-8"),
        (b"a,^b.*$\n1,2\n", "for a pattern; rename it"),
        (b"\n\n", "the file is empty"),
        (b"1.5,oak,2\n2.5,oak,2\n", r"line 1 holds values \(1.5, oak, 2\) in the place of"),
        (b"wood,x\n1,oak,\n2,elm,\n", "line 2 holds values"),
        (b"wood,x\n1,oak,2\n2,elm,2\n", "line 2 holds values"),
        (b"a  b\n 1 2\n3  4\n", "blanks separate its columns"),
        ("나무,값\n전나무,1\n구역,2\n".encode("cp949"), "iconv -f cp949 -t utf-8"),
    ],
)
def test_what_would_be_misread_is_refused(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "x.csv").write_bytes(content)
    with pytest.raises(BrokenFile, match=words):
        read_table(tmp_path / "x.csv")


@pytest.mark.parametrize(
    ("name", "words"),
    [("x.xlsx", "save the sheet as CSV"), ("x.json", "convert it"), ("none.csv", "no such file")],
)
def test_other_files_are_refused_with_the_cure(tmp_path: Path, name: str, words: str) -> None:
    if "none" not in name:
        (tmp_path / name).write_bytes(b"something")
    with pytest.raises(UserError, match=words):
        read_table(tmp_path / name)
