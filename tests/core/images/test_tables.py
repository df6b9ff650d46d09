"""Tables of classes: which picture a row names, which column holds classes, and what is no such table."""

from __future__ import annotations

import re

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import ImageError
from core.images import tables as image_tables
from core.images.archives import Entry
from core.images.tables import Said, classes_in_tables, read_table

ABC = ("a.png", "b.png", "c.png")
NUMBERED = ("1.png", "2.png", "3.png")
PETS = ("cat/1.png", "dog/2.png")


def said(tables: dict[str, str | bytes], pictures: tuple[str, ...] = ABC, folders: bool = False) -> Said:
    entries = [
        Entry(name, lambda content=content: content if isinstance(content, bytes) else content.encode())
        for name, content in tables.items()
    ]
    return classes_in_tables(entries, pictures, folders=folders)


def test_one_hot_columns_number_the_classes_also_those_without_a_picture() -> None:
    found = said({"labels.csv": "image,dog,cat,ant\na,0,1,0\nb,0,0,1\nc,0,1,0\n"}, ("a.png", "b.png", "c.png"))
    assert (found.labels, found.class_names) == (["cat", "ant", "cat"], ("dog", "cat", "ant"))
    for table in ("image,cat,cat\na,0,1\nb,1,0\nc,0,1\n", "image,label,label\na,0,1\nb,1,0\nc,0,1\n"):
        (refused,) = said({"labels.csv": table}, ("a.png", "b.png", "c.png")).refused
        assert refused.reason.startswith("expected ")


@pytest.mark.parametrize(
    ("text", "labels"),
    [
        ("a,cat\nb,dog\nc,cat\n", "cat dog cat"),  # without titles
        ("a.png,cat\nb.png,dog\nc.png,cat\n", "cat dog cat"),
        ("name;class\na.png;7\nb;2\nc;0\n", "7 2 0"),
        ("name\tclass\r\na.png\tcat\r\nb.png\t dog \r\nc.png\t7\r\n", "cat dog 7"),
        ("./a.png,x\nimages\\b.png,y\n/data/x/c.png,z\n", "x y z"),
        ("A.PNG,x\nC:\\in\\B.png,y\nd:c.PNG,z\n".replace("d:c", "d:\\c"), "x y z"),
        ("0,a.png,cat\n1,b.png,dog\n2,c.png,cat\n", "cat dog cat"),  # an index goes before
        (",file,label\n0,a.png,2\n1,b.png,0\n2,c.png,1\n", "2 0 1"),
        ("cat,a.png\ndog,b.png\ncat,c.png\n", "cat dog cat"),  # the class goes before
        ("file,score,label\na.png,0.5,cat\nb.png,0.2,dog\nc.png,0.1,cat\n", "cat dog cat"),
        ("file,date,species\na.png,2024-01-01,cat\nb.png,2024-01-02,dog\nc.png,2024-01-03,cat\n", "cat dog cat"),
        ("image,mask,kind\na.png,m/x.png,cat\nb.png,m/y.png,dog\nc.png,m/z.png,cat\n", "cat dog cat"),
        ("id,target\na,1.0\nb,\nc,3.0\n", "1.0  3.0"),  # pandas with a missing value
        ('"a.png","big, black"\nb.png,dog\nc.png,dog\n', "big, black|dog|dog"),
        ("\ufeffa.png,x\nb.png,y\nc.png,z\n", "x y z"),
        ("a.png,x\n\n ,\nb.png,y\nc.png,z", "x y z"),
        ("file|class\na.png|cat\nb.png|dog\nc.png|cat\n", "cat dog cat"),
        ("image,MEL,NV\na,1.0,0.0\nb,0.0,1.0\nc,1.0,0.0\n", "MEL NV MEL"),
        ("image,MEL,NV,UNK\na,1,0,0\nb,0,1,0\nc,0,1,0\n", "MEL NV NV"),
        (",image,MEL,NV\n0,a,0,1\n1,b,1,0\n2,c,0,1\n", "NV MEL NV"),
        ("image,None,NV\na,1,0\nb,0,1\nc,1,0\n", "None NV None"),
        ("image,0,1\na,0,1\nb,1,0\nc,0,1\n", "1 0 1"),
        ("a.png;10,0\nb.png;2,0\nc.png;11,0\n", "10,0 2,0 11,0"),  # a decimal comma in a table of semicolons
        ("sep=;\r\nname;class\r\na.png;x\r\nb.png;y\r\nc.png;x\r\n", "x y x"),
        ("file,width,label\na.png,224,x\nb.png,224,y\nc.png,224,x\n", "x y x"),
        ("file,x,y,species\na.png,1,2,cat\nb.png,3,4,dog\nc.png,5,6,cat\n", "cat dog cat"),
        ("file,true_label,prediction\na.png,x,y\nb.png,y,y\nc.png,x,x\n", "x y x"),
        ("file,ground_truth\na.png,x\nb.png,y\nc.png,x\n", "x y x"),
        ("image,label,MEL,NV\na,x,0,1\nb,y,1,0\nc,x,0,1\n", "x y x"),
        ('a.png,"cat ""big"""\nb.png,"a\ndog"\nc.png,12" cow\n', 'cat "big"|a\ndog|12" cow'),
        ('a.png,"x" y\nb.png,z\nc.png,z\n', "x y|z|z"),
        ("a.png,none\nb.png,mild\nc.png,none\n", "none mild none"),
    ],
)
def test_a_table_is_read_by_its_content(text: str, labels: str) -> None:
    found = said({"labels.csv": text})
    assert found.labels == labels.split("|" if "|" in labels else " ")
    assert found.refused == []


@pytest.mark.parametrize(
    ("pictures", "text", "labels"),
    [
        (("cat/1.png", "dog/1.png"), "cat/1.png,x\ndog/1.png,y\n", ["x", "y"]),
        (("1.png", "more/1.png"), "1.png,x\nmore/1.png,y\n", ["x", "y"]),
        (("a.png", "A.png"), "a.png,x\nA.png,y\n", ["x", "y"]),
        (("caf\u0065\u0301.png", "b.png"), "caf\u00e9.png,x\nb.png,y\n", ["x", "y"]),
        (("test/1.png",), "train/1.png,x\ntest/1.png,y\n", ["y"]),
        (("in/a.jpg", "in/a.png"), "a.png,x\na.jpg,y\n", ["y", "x"]),
        (("1.png", "2.png"), "id,class\n2,1\n1,2\n", ["2", "1"]),
        (("1.png", "2.png"), "name,class\n1.png,2\n2.png,1\n", ["2", "1"]),
        (NUMBERED, "class,id\n2,1\n3,2\n1,3\n", ["2", "3", "1"]),
        (NUMBERED, "label,image\n2,1\n3,2\n1,3\n", ["2", "3", "1"]),
        (NUMBERED, "id,class\n1,2\n2,3\n3,1\n", ["2", "3", "1"]),
        (NUMBERED, "species,stem\n2,1\n3,2\n1,3\n", ["2", "3", "1"]),
        (ABC, "name,class\na.png,cat\nb.png,nan\nc.png,dog\n", ["cat", "", "dog"]),
        (ABC, "name,class\na.png,N/A\nb.png,cat\nc.png,\n", ["", "cat", ""]),
        (ABC, "a.png,cat\nb.png,None\nc.png,null\n", ["cat", "", ""]),
        (ABC, "name,class\na.png,1\nb.png,nan\nc.png,2\n", ["1", "", "2"]),
        (("a,1.png", "b,2.png"), "name;class\na,1.png;cat\nb,2.png;dog\n", ["cat", "dog"]),
        (NUMBERED, "grade,id\n2,1\n3,2\n1,3\n", ["2", "3", "1"]),
        (NUMBERED, "class,id\n2,1\n3,7\n", ["2", "", ""]),  # the class would name more pictures
        (NUMBERED, "3,1\n1,1\n2,2\n", ["1", "2", "1"]),
        (("1.png", "2.png"), ",file,class\n0,2.png,1\n1,1.png,0\n", ["0", "1"]),
        (("1.png", "2.png"), "image,MEL,NV\n1,1,0\n2,0,1\n", ["MEL", "NV"]),
        (("v1.0.png", "v1.1.png"), "v1.0,x\nv1.1,y\n", ["x", "y"]),
    ],
)
def test_names_in_other_spellings_are_found(pictures: tuple[str, ...], text: str, labels: list[str]) -> None:
    assert said({"labels.csv": text}, pictures).labels == labels


@pytest.mark.parametrize(
    ("tables", "pictures", "message"),
    [
        ({"metadata.csv": "date,author\n2024-01-01,ann\n"}, PETS, "no row of it names one"),
        ({"cat/boxes.csv": "x,y\n1,2\n"}, PETS, "no row of it names one"),
        ({"boxes.csv": "x,y\n1,2\n"}, ("1.png", "2.png"), "no row of it names one"),
        ({"metadata.csv": "file,author\n1.png,ann\n2.png,bob\n"}, PETS, "one column of classes .*, got none"),
        ({"metadata.csv": "file,place\n1.png,sea\n2.png,hill\n"}, PETS, "got place; call it class"),
        ({"results.csv": "name,score\na.png,0.3\nb.png,0.7\nc.png,0.1\n"}, ABC, "got none; call it class"),
        ({"labels.csv": "a.png,0.3\nb.png,0.7\nc.png,0.1\n"}, ABC, "got none; call it class"),
        ({"t.csv": "file,place,maker\na.png,sea,ann\nb.png,hill,bob\n"}, ABC, "got place/maker; call it class"),
        ({"t.csv": b"\xff\xfe\xfd"}, ABC, 'another encoding; save it as "CSV UTF-8"'),
        (
            {"labels.csv": "2,1\n3,2\n1,3\n"},
            NUMBERED,
            "columns 1 and 2 may both do; write the names with their endings",
        ),
        ({"labels.csv": "a,b\n2,1\n3,2\n1,3\n"}, NUMBERED, "columns 1 and 2 may both do"),
        ({"labels.csv": "id,image,class\n1,2,0\n2,1,0\n"}, NUMBERED, "columns 1 and 2 may both do"),
        ({"labels.csv": "id,frame,class\n1,2,0\n8,1,0\n"}, NUMBERED, "columns 1 and 2 may both do"),
        ({"labels.csv": "class_id,called\n1,cat\n2,dog\n"}, NUMBERED, "no row of it names one"),
        (
            {"t.csv": "image,MEL,NV\na,1,0\nb,1,1\nc,0,0\n"},
            ABC,
            "MEL/NV with none or several in 2 rows; write the class",
        ),
        ({"t.csv": "image,train,test\na,1,0\nb,0,1\nc,1,0\n"}, ABC, "got train/test; write the class of each"),
        (
            {"metadata.csv": "file_name,width,height\na.png,224,224\nb.png,224,224\nc.png,224,224\n"},
            ABC,
            "got width/height",
        ),
        (
            {"labels.csv": "file_name,width,height\na.png,224,224\nb.png,224,224\nc.png,224,224\n"},
            ABC,
            "got width/height",
        ),
        ({"meta.csv": "file,width\na.png,8\nb.png,8\nc.png,8\n"}, ABC, "got width; call it class"),
        ({"files.csv": "file,bytes\na.png,70123\nb.png,70124\nc.png,70125\n"}, ABC, "got bytes; call it class"),
        ({"files.csv": "a.png,70123\nb.png,70124\nc.png,70125\n"}, ABC, "got column 2; call it class"),
        ({"exif.csv": "file,camera\na.png,Nikon\nb.png,Canon\nc.png,Nikon\n"}, ABC, "got camera; call it class"),
        ({"labels.csv": "file,patient\na.png,p1\nb.png,p2\nc.png,p1\n"}, ABC, "got patient; call it class"),
        ({"a.csv": "file,licence\na.png,CC0\nb.png,CC-BY\nc.png,CC0\n"}, ABC, "got licence; call it class"),
        ({"md5.csv": "a.png,aa11\nb.png,bb22\nc.png,cc33\n"}, ABC, "got column 2; call it class"),
        ({"a.csv": "file,caption\na.png,a cat\nb.png,a dog\nc.png,a cow\n"}, ABC, "got caption; call it class"),
        ({"labels.csv": "a.png,224,224\nb.png,224,224\nc.png,224,224\n"}, ABC, "got column 2/column 3; call it class"),
        ({"labels.csv": "file,x,y\na.png,1,2\nb.png,1,2\nc.png,3,4\n"}, ABC, "got x/y; call it class"),
        ({"labels.csv": 'name,class\na.png,"1,000"\nb.png,2\nc.png,3\n'}, ABC, "got 1,000, which may be two numbers"),
        ({"t.csv": "image,place,MEL,NV\na,x,1,0\nb,y,0,1\nc,z,1,0\n"}, ABC, "got place/MEL/NV; write the class"),
        ({"t.csv": "image,MEL,NV\ncat/1,1,0\ndog/2,0,1\n"}, PETS, "got MEL/NV; call it class"),
    ],
)
def test_a_table_without_classes_is_left_out(
    tables: dict[str, str | bytes], pictures: tuple[str, ...], message: str
) -> None:
    found = said(tables, pictures, folders=pictures == PETS)
    assert found.labels is None
    ((name, reason),) = found.refused
    assert name in tables
    assert re.match(f"expected .*{message}", reason)


def test_scores_next_to_labels_are_ignored_and_tables_of_parts_are_joined() -> None:
    labels, scores = "name,class\na.png,x\nb.png,y\nc.png,x\n", "name,score\na.png,0.3\nb.png,0.7\nc.png,0.1\n"
    found = said({"a.csv": scores, "labels.csv": labels})
    assert found.labels == ["x", "y", "x"]
    assert [name for name, _ in found.refused] == ["a.csv"]
    parts = said({"train.csv": "file,class\na.png,x\n", "test.csv": "file,class\nb.png,y\nc.png,x\n"})
    assert (parts.labels, parts.refused) == (["x", "y", "x"], [])
    assert all("name none here" in reason for _, reason in parts.left)
    other = said({"labels.csv": labels, "more.csv": "file,class\na.png,y\n"})
    assert other.labels == ["x", "y", "x"]
    assert "more.csv has others than another table for 1" in other.refused[0].reason


def test_a_missing_class_is_reported() -> None:
    found = said({"labels.csv": "name,class\na.png,cat\nb.png,N/A\nc.png,none\n"})
    assert [reason for _, reason in found.left] == [
        "expected a class in every row of labels.csv, got N/A for 2; call the class otherwise if it is one",
        "expected a class for every picture, the tables name none for 2, such as this one",
    ]


def test_numbers_that_may_be_pictures_or_classes_are_reported() -> None:
    legend, table = "0,cat\n1,dog\n2,bird\n", "file,class\n0.png,1\n1.png,1\n2.png,0\n"
    pictures = ("0.png", "1.png", "2.png")
    alone = said({"labels.csv": legend}, pictures)
    assert (alone.labels, alone.class_names) == (["cat", "dog", "bird"], ())
    assert ["are taken for pictures; if it lists" in reason for _, reason in alone.left] == [True]
    for name in ("labels.csv", "info.csv"):
        both = said({name: legend, "train.csv": table}, pictures)
        assert (both.labels, both.class_names) == (["1", "1", "0"], ())
        assert [name for name, _ in both.refused] == [name]
    found = said({"classes.csv": legend, "labels.csv": table}, pictures)
    assert (found.labels, found.class_names, found.refused) == (["1", "1", "0"], ("cat", "dog", "bird"), [])
    first = said({"classes.csv": "1,cat\n2,dog\n", "labels.csv": table}, pictures)
    assert first.class_names == ("", "cat", "dog")
    second = said({"classes.csv": legend, "names.csv": "0,a\n1,b\n2,c\n", "labels.csv": table}, pictures)
    assert second.class_names == ("cat", "dog", "bird")
    assert [reason[:50] for _, reason in second.left][1] == "expected one list of what classes are called, name"
    pictured = said({"classes.csv": "0.png,cat\n1.png,dog\n2.png,bird\n"}, pictures)
    assert (pictured.labels, pictured.left) == (["cat", "dog", "bird"], [])


@pytest.mark.parametrize(
    ("legend", "names"),
    [
        ("2,bird\n0,cat\n1,dog\n", "cat dog bird"),  # in another order
        ("4,bird\n0,cat\n2,dog\n", "cat  dog  bird"),  # with gaps
        ("0,crane\n1,dog\n2,crane\n", "crane dog crane"),  # ImageNet has two of them
        ("0,n01440764,tench\n1,n01443537,goldfish\n", "tench goldfish"),
        ("n01443537,1,goldfish\nn01440764,0,tench\n", "tench goldfish"),
        ("0,tench,n01440764\n1,goldfish,n01443537\n", "tench goldfish"),
        ("id,synset,name\n0,n01440764,tench\n1,n01443537,goldfish\n", "tench goldfish"),
        ("id,kind,name\n0,fish,tench\n1,bird,crane\n", "tench crane"),
        (",class_id,class_name\n0,1,dog\n1,0,cat\n", "cat dog"),  # an index goes before
        ("0,n01440764\n1,n01443537\n", "n01440764 n01443537"),  # there is nothing else
        ("0,none\n1,mild\n", "none mild"),
    ],
)
def test_a_list_of_class_names_is_used(legend: str, names: str) -> None:
    found = said({"classes.csv": legend, "labels.csv": "a.png,0\nb.png,1\nc.png,0\n"})
    assert (found.labels, found.refused) == (["0", "1", "0"], [])
    assert found.class_names == tuple(names.split(" "))


@pytest.mark.parametrize(
    "legend", ["0,cat\n0,dog\n", "0,\n1,dog\n", "0.5,cat\n1,dog\n", "-1,cat\n0,dog\n", "x,y\nz,y\n"]
)
def test_an_invalid_list_of_classes_is_refused_with_advice(legend: str) -> None:
    found = said({"classes.csv": legend})
    ((name, reason),) = found.refused
    assert (found.labels, found.class_names, name) == (None, (), "classes.csv")
    assert reason == (
        "expected a list of what numbers of classes are called in classes.csv, or a table that names pictures, it is"
        " neither; write each number once, from 0 on, and beside it one word"
    )


def test_words_that_repeat_next_to_numbers_of_pictures_are_classes() -> None:
    found = said({"names.csv": "image,label\n1,cat\n2,dog\n3,cat\n"}, NUMBERED)
    assert (found.labels, found.class_names, found.refused) == (["cat", "dog", "cat"], (), [])


def test_none_is_a_class_if_a_list_contains_it() -> None:
    found = said({"classes.csv": "0,none\n1,mild\n", "labels.csv": "a.png,none\nb.png,mild\nc.png,mild\n"})
    assert (found.labels, found.class_names) == (["none", "mild", "mild"], ("none", "mild"))


def test_unmatched_rows_and_pictures_are_reported() -> None:
    table = "name,class\na.png,x\nzz.png,y\nb.png,x\nb.png,y\n1.png,x\n"
    found = said({"labels.csv": table}, (*ABC, "q/1.png", "r/1.png"))
    assert found.labels == ["x", "", "", "", ""]
    reasons = [reason for _, reason in found.left]
    assert reasons == [
        "expected a picture for every row of labels.csv, 1 such as 'zz.png' name none here; they are left aside",
        "expected one picture for every row of labels.csv, 1 such as '1.png' name several; write their folders",
        "expected one class for every picture in labels.csv, 1 have several; these have none",
        "expected a class for every picture, the tables name none for 4, such as this one",
    ]
    assert found.left[-1].name == "b.png"


def test_the_size_of_tables_is_limited(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = "".join(f"{number}.png,{number % 7}\n" for number in range(510_000))
    found = said({"labels.csv": lines}, ("5.png",))
    assert found.labels is None
    assert "expected tables of at most 1,000,000 cells, got more by labels.csv" in found.refused[0].reason
    ragged = read_rows_of("a,b\n" + "x\n" * 10 + "a,b,c\n", 30)
    assert "cells, got more by t.csv" in ragged
    monkeypatch.setattr(image_tables, "_BYTES", 20)
    many = said({f"{number}.csv": b"a.png,x\n" for number in range(4)}, ("a.png",))
    assert (many.labels, [name for name, _ in many.refused]) == (["x"], ["2.csv", "3.csv"])


def read_rows_of(text: str, most: int) -> str:
    with pytest.raises(ImageError) as caught:
        read_table(text.encode(), "t.csv", most)
    return str(caught.value)


CELLS = st.sampled_from(
    ["a.png", "A", "c:\\b.PNG", "./x/c.png", "cat", "7", "1e1", "0.5", "nan", "", "class", '"', ";", "\0"]
)


@settings(max_examples=150, deadline=None, derandomize=True)
@given(st.lists(st.lists(CELLS | st.text(max_size=5), max_size=5), max_size=8), st.sampled_from(",;\t"), st.booleans())
def test_any_table_is_read_or_left_out(rows: list[list[str]], sign: str, folders: bool) -> None:
    text = "\n".join(sign.join(row) for row in rows)
    found = said(
        {"t.csv": text.encode("utf-8", "surrogatepass"), "labels.csv": text.encode("utf-16", "ignore")}, ABC, folders
    )
    assert found.labels is None or len(found.labels) == 3
    assert all(reason.startswith("expected ") and "\n" not in reason for _, reason in (*found.refused, *found.left))


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a.png\nb.png\n", "commas, semicolons, tabs or | between them, got one column; save it as CSV"),
        (b"a.png cat\nb.png dog\n", "commas, semicolons, tabs or | between them, got one column; save it as CSV"),
        (b"", "got nothing; save it as CSV"),
        (b"\xff\xfe\xfd", 'in UTF-8, t.csv has another encoding; save it as "CSV UTF-8"'),
        ("a.png;Kätzchen\n".encode("cp1252"), 'in UTF-8, t.csv has another encoding; save it as "CSV UTF-8"'),
        ("a.png;cat\n".encode("utf-32"), 'in UTF-8, t.csv has another encoding; save it as "CSV UTF-8"'),
        (b"a.png,cat\nb.png,dog\0\n", 'in UTF-8, t.csv has another encoding; save it as "CSV UTF-8"'),
        (b'a,"' + b"x" * 200_000 + b'"', "of at most 131,072 characters in t.csv, got others from line 1 on; close"),
        (
            b'a.png,cat\nb.png,"dog\nc.png,cat\n',
            "closed quotes, and cells of at most 131,072 characters in"
            " t.csv, got others from line 2 on; close its quotes",
        ),
        (b'a.png,"cat\nb.png,"dog"\nc.png,cat\n', "got others from line 1 on; close its quotes"),
        (b'sep=,\na.png,cat\n"b.png,dog\nc.png,cat\n', "got others from line 3 on; close its quotes"),
    ],
)
def test_files_that_are_not_tables_are_refused(content: bytes, message: str) -> None:
    with pytest.raises(ImageError, match=f"^expected .*{re.escape(message)}"):
        read_table(content, "t.csv")


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
@pytest.mark.parametrize("word", ["café", "cat", "猫猫猫猫", "Ā"])
def test_encodings_are_recognised(encoding: str, word: str) -> None:
    assert read_table(f"a.png\t{word}\n".encode(encoding), "t.csv") == [["a.png", word]]
