"""The files in which people keep class names are read, or refused with a sentence."""

import csv
import io
import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import torch
import yaml
from PIL import Image

from core.errors import LabelsError
from core.predict import choose_labels, read_label_file


def names_in(data: bytes, name: str) -> tuple[str, ...]:
    """The names in a file that has one list of them."""
    return read_label_file(data, name).column().names


PETS = ["cat", "dog", "hen"]
CATEGORIES = [
    {"supercategory": "bird", "id": 90, "name": "hen"},
    {"supercategory": "animal", "id": 3, "name": "cat"},
    {"supercategory": "animal", "id": 17, "name": "dog"},
]
COCO = {"info": {}, "licenses": [{"id": 1, "name": "CC"}], "images": [], "annotations": []}
ITEMS = """item {
  name: 'hen'
  id: 3
}
item {
  id: 1
  name: "cat"
}
item { id: 2, name: 'dog' }
"""
FREEBASE = "".join(
    f'item {{\n  name: "/m/0{n}"\n  id: {n + 1}\n  display_name: "{name}"\n}}\n'
    for n, name in enumerate(PETS)
)


def sheet(rows, **form) -> str:
    text = io.StringIO()
    csv.writer(text, **form).writerows(rows)
    return text.getvalue()


READ: dict[str, tuple[str, str | bytes]] = {
    "lines": ("pets.txt", "cat\ndog\nhen\n"),
    "lines of Windows": ("pets.txt", "cat\r\ndog\r\nhen\r\n"),
    "lines of an old Mac": ("pets.txt", "cat\rdog\rhen"),
    "blank lines and comments": ("classes.txt", "# my pets\n\ncat\n\n  dog\n// a bird\nhen\n\n"),
    "trailing commas": ("pets.txt", "cat,\ndog,\nhen,\n"),
    "quotes": ("pets.txt", '"cat"\n"dog"\n"hen"'),
    "quotes and commas": ("pets.txt", "'cat',\n'dog',\n'hen'"),
    "bullets": ("pets.txt", "- cat\n- dog\n- hen"),
    "one line": ("pets.txt", "cat, dog,hen\n"),
    "darknet": ("pets.names", "cat\ndog\nhen\n"),
    "number first": ("pets.txt", "0 cat\n1 dog\n2 hen"),
    "number and colon": ("pets.txt", "0: cat\n1: dog\n2: hen"),
    "number and point": ("pets.txt", "1. cat\n2. dog\n3. hen"),
    "number and bracket": ("pets.txt", "1) cat\n2) dog\n3) hen"),
    "number and hyphen": ("pets.txt", "0 - cat\n1 - dog\n2 - hen"),
    "number and equals": ("pets.txt", "0=cat\n1=dog\n2=hen"),
    "number and tab": ("pets.txt", "0\tcat\n1\tdog\n2\then"),
    "number last": ("pets.txt", "cat 0\ndog 1\nhen 2"),
    "comma and number": ("pets.txt", "cat,0\ndog,1\nhen,2"),
    "colon and number": ("pets.txt", "cat: 0\ndog: 1\nhen: 2"),
    "tab and number": ("pets.txt", "cat\t0\ndog\t1\nhen\t2"),
    "number last, unsorted": ("pets.txt", "hen 2\ncat 0\ndog 1"),
    "number first, unsorted": ("pets.txt", "2 hen\n0 cat\n1 dog"),
    "number first, from 1, unsorted": ("pets.txt", "3: hen\n1: cat\n2: dog"),
    "titles in text": ("pets.txt", "id name\n0 cat\n1 dog\n2 hen"),
    "synsets": ("LOC_synset_mapping.txt", "n02123045 cat\nn02084071 dog\nn01514668 hen"),
    "synsets and numbers": ("map_clsloc.txt", "n02123045 1 cat\nn01514668 3 hen\nn02084071 2 dog"),
    "coral": ("coco_labels.txt", "0  cat\n1  dog\n3  hen"),
    "aligned with spaces and gaps": ("pets.txt", "  0   cat\n  1   dog\n  4   hen\n"),
    "colons and wide gaps": ("pets.txt", "90: hen\n1: cat\n17: dog"),
    "arrows": ("pets.txt", "0 -> cat\n1 -> dog\n2 -> hen"),
    "arrows to numbers": ("pets.txt", "cat => 0\ndog => 1\nhen => 2"),
    "a mapping without braces": ("pets.txt", '"0": "cat",\n"1": "dog",\n"2": "hen"'),
    "a section": ("pets.ini", "[classes]\n0 = cat\n1 = dog\n2 = hen"),
    "semicolons on one line": ("pets.txt", "cat;dog;hen"),
    "Python with a comment": (
        "pets.py",
        "# three\nCLASSES = [\n    'cat',\n    'dog',\n    'hen',\n]",
    ),
    "YAML in a txt": ("pets.txt", "names:\n  0: cat\n  1: dog\n  2: hen\n"),
    "one row": ("pets.csv", "cat,dog,hen\n"),
    "a table of Markdown": (
        "pets.csv",
        "| id | name |\n|---|---|\n| 0 | cat |\n| 1 | dog |\n| 2 | hen |",
    ),
    "Python list": ("pets.txt", "['cat', 'dog', 'hen']"),
    "Python list with a name": ("pets.py", "CLASSES = ('cat', 'dog', 'hen')"),
    "Python mapping": ("imagenet1000_clsidx_to_labels.txt", "{0: 'cat',\n 1: 'dog',\n 2: 'hen'}"),
    "Python mapping by name": ("pets.txt", "{'dog': 1, 'cat': 0, 'hen': 2}"),
    "a list without quotes": ("pets.txt", "[cat, dog, hen]"),
    "the text of an array": ("pets.txt", "['cat' 'dog'\n 'hen']"),
    "JSON list": ("pets.json", json.dumps(PETS)),
    "JSON by number": ("pets.json", '{"0": "cat", "2": "hen", "1": "dog"}'),
    "JSON by number from 1": ("cat_to_name.json", '{"3": "hen", "1": "cat", "2": "dog"}'),
    "JSON by name": ("class_to_idx.json", '{"cat": 0, "hen": 2, "dog": 1}'),
    "JSON by name in texts": ("pets.json", '{"cat": "0", "hen": "2", "dog": "1"}'),
    "JSON of ImageNet": (
        "imagenet_class_index.json",
        '{"0": ["n02123045", "cat"], "1": ["n02084071", "dog"], "2": ["n01514668", "hen"]}',
    ),
    "JSON of COCO": ("instances_val2017.json", json.dumps(COCO | {"categories": CATEGORIES})),
    "JSON of transformers": (
        "config.json",
        json.dumps(
            {
                "architectures": ["ViT"],
                "id2label": dict(enumerate(PETS)),
                "label2id": {"cat": 0, "dog": 1, "hen": 2},
            }
        ),
    ),
    "JSON of timm": (
        "config.json",
        json.dumps({"num_classes": 3, "label_names": PETS, "pretrained_cfg": {"mean": [0.5]}}),
    ),
    "JSON under a key": ("class_names.json", json.dumps({"dataset": {"classes": PETS}})),
    "JSON of both ways": (
        "class_mapping.json",
        json.dumps(
            {
                "class_to_idx": {"cat": 0, "dog": 1, "hen": 2},
                "idx_to_class": {"0": "cat", "1": "dog", "2": "hen"},
                "num_classes": 3,
            }
        ),
    ),
    "JSON records": (
        "pets.json",
        json.dumps([{"id": 2, "name": "hen"}, {"id": 0, "name": "cat"}, {"id": 1, "name": "dog"}]),
    ),
    "JSON pairs": ("pets.json", json.dumps([[0, "cat"], [1, "dog"], [2, "hen"]])),
    "JSON lines": (
        "pets.jsonl",
        '{"id": 0, "name": "cat"}\n{"id": 2, "name": "hen"}\n{"id": 1, "name": "dog"}\n',
    ),
    "JSON without an ending": ("pets", json.dumps(PETS)),
    "YAML list": ("pets.yaml", "- cat\n- dog\n- hen\n"),
    "YAML of YOLO 5": (
        "data.yaml",
        "train: images/train\nval: images/val\nnc: 3\nnames: ['cat', 'dog', 'hen']\n",
    ),
    "YAML of YOLO 8": (
        "coco8.yaml",
        "path: coco8 # root\ntrain: a\n\n# Classes\nnames:\n  0: cat\n  1: dog\n  2: hen\n",
    ),
    "YAML by library": (
        "pets.yml",
        yaml.safe_dump({"class_to_idx": {"hen": 2, "cat": 0, "dog": 1}}),
    ),
    "label map": ("pets.pbtxt", ITEMS),
    "label map with ids of Freebase": ("oid.pbtxt", FREEBASE),
    "CSV": ("pets.csv", "cat\ndog\nhen\n"),
    "CSV with a title": ("pets.csv", "class_name\ncat\ndog\nhen\n"),
    "CSV with numbers": ("pets.csv", "0,cat\n1,dog\n2,hen\n"),
    "CSV with numbers last": ("pets.csv", "cat,0\ndog,1\nhen,2\n"),
    "CSV, titles": ("pets.csv", "id,name\n0,cat\n1,dog\n2,hen\n"),
    "CSV, unsorted": ("pets.csv", "name,id\nhen,2\ncat,0\ndog,1\n"),
    "CSV from 1": ("pets.csv", "index,label\n3,hen\n1,cat\n2,dog\n"),
    "CSV with gaps": ("pets.csv", "id,name\n90,hen\n3,cat\n17,dog\n"),
    "CSV with semicolons": ("pets.csv", "index;label\n1;cat\n2;dog\n3;hen\n"),
    "CSV of Excel": ("pets.csv", "\ufeffsep=;\r\nindex;label\r\n1;cat\r\n2;dog\r\n3;hen\r\n"),
    "CSV with tabs": ("pets.tsv", "0\tcat\n1\tdog\n2\then\n"),
    "CSV with tabs called csv": ("pets.csv", "id\tname\n0\tcat\n1\tdog\n2\then\n"),
    "CSV with quotes": (
        "pets.csv",
        sheet([["id", "name"], *enumerate(PETS)], quoting=csv.QUOTE_ALL),
    ),
    "CSV with synsets": ("pets.csv", "0,n02123045,cat\n1,n02084071,dog\n2,n01514668,hen\n"),
    "CSV of pandas": ("pets.csv", ",name\n0,cat\n1,dog\n2,hen\n"),
    "CSV of a Series": ("pets.csv", ",0\n0,cat\n1,dog\n2,hen\n"),
    "CSV with an index besides": ("pets.csv", ",class_id,name\n0,2,hen\n1,0,cat\n2,1,dog\n"),
    "CSV with counts that look like numbers of outputs": (
        "pets.csv",
        "name,count\ncat,3\ndog,1\nhen,2\n",
    ),
    "CSV with ranks": ("pets.csv", "rank,name\n2,cat\n3,dog\n1,hen\n"),
    "CSV with counts": ("pets.csv", "name,images\ncat,120\ndog,80\nhen,95\n"),
    "CSV with trailing commas": ("pets.csv", "id,name,\n0,cat,\n1,dog,\n2,hen,\n"),
    "CSV with colours": ("pets.csv", "name,colour\ncat,#ff0000\ndog,#00ff00\nhen,#0000ff\n"),
    "CSV with one split": ("pets.csv", "id,name,split\n0,cat,train\n1,dog,train\n2,hen,train\n"),
    "CSV in a txt": ("pets.txt", "id,name\n0,cat\n1,dog\n2,hen\n"),
    "bars in a txt": ("pets.txt", "0|cat\n1|dog\n2|hen\n"),
    "UTF-8 with a mark": ("pets.txt", "\ufeffcat\ndog\nhen"),
    "UTF-16": ("pets.txt", "cat\ndog\nhen".encode("utf-16")),
    "UTF-16 without a mark": ("pets.txt", "cat\ndog\nhen".encode("utf-16-le")),
    "UTF-16, big-endian": ("pets.csv", "0,cat\n1,dog\n2,hen".encode("utf-16-be")),
    "UTF-32": ("pets.txt", "cat\ndog\nhen".encode("utf-32")),
}


@pytest.mark.parametrize("form", READ)
def test_names_are_read_from_a_file_of(form: str) -> None:
    name, text = READ[form]
    data = text if isinstance(text, bytes) else text.encode()
    assert list(names_in(data, name)) == PETS


KEPT = {
    "numbers in names": (
        "names.txt",
        ["great white shark, white shark", "3 toed sloth", "boeing 747"],
    ),
    "a number that tells names apart": ("names.txt", ["grade 0", "grade 1", "grade 2"]),
    "money": ("names.txt", ["1 euro", "5 euro", "10 euro"]),
    "years": ("cars.txt", ["2012 Audi", "2012 Fiat", "1998 Eagle"]),
    "ranges": ("ages.txt", ["0-2", "4-6", "8-12"]),
    "ranges with a unit": ("ages.txt", ["1-2 years", "2-3 years", "0-1 years"]),
    "times": ("times.txt", ["2:30", "1:15", "0:45"]),
    "stars": ("stars.txt", ["3 stars", "2 stars", "1 stars"]),
    "cards": ("cards.txt", ["1 hearts", "2 hearts", "1 spades"]),
    "digits": ("digits.txt", ["7", "3", "5"]),
    "Käse": ("names.txt", ["Käse", "Brot", "Öl"]),
    "中文": ("names.txt", ["猫", "狗", "鸡"]),
    "equal names": ("names.txt", ["crane", "dog", "crane"]),
    "yes and no in YAML": ("names.yaml", ["yes", "no", "1:30"]),
}


@pytest.mark.parametrize("form", KEPT)
def test_names_stay_whole_with(form: str) -> None:
    name, names = KEPT[form]
    text = "\n".join(f"- {each}" for each in names) if "YAML" in form else "\n".join(names)
    assert list(names_in(text.encode(), name)) == names


def test_the_classes_of_cub_lose_the_line_number_alone() -> None:
    text = "1 001.Black_footed_Albatross\n2 002.Laysan_Albatross\n"
    assert names_in(text.encode(), "classes.txt") == (
        "001.Black_footed_Albatross",
        "002.Laysan_Albatross",
    )


def test_names_in_windows_letters_are_read() -> None:
    assert names_in("Käse\nBrot".encode("cp1252"), "n.txt") == ("Käse", "Brot")


def saved(function) -> bytes:
    data = io.BytesIO()
    function(data)
    return data.getvalue()


REFUSED: dict[str, tuple[str, str | bytes, str]] = {
    "empty": ("pets.txt", "", "has no names in it"),
    "comments alone": ("pets.txt", "# nothing\n", "has no names in it"),
    "separators alone": ("pets.txt", ",,", "has no names in it"),
    "tabs and commas alone": ("pets.txt", ";\t", "has no names in it"),
    "an empty table": ("pets.csv", "\n\n", "is empty"),
    "an empty list": ("pets.json", "[]", "is empty"),
    "an image": (
        "pets.png",
        saved(lambda f: Image.new("RGB", (9, 9)).save(f, "PNG")),
        "is not a plain text file",
    ),
    "a JPEG": (
        "pets.txt",
        saved(lambda f: Image.new("RGB", (9, 9)).save(f, "JPEG")),
        "is not a plain text file",
    ),
    "a pickle": ("classes.pkl", pickle.dumps(PETS), "is not a plain text file"),
    "a pickle of protocol 0": (
        "classes.txt",
        pickle.dumps(PETS, protocol=0),
        "is not a plain text file",
    ),
    "a checkpoint": (
        "classes.pth",
        saved(lambda f: torch.save(PETS, f)),
        "is not a plain text file",
    ),
    "an array": (
        "classes.npy",
        saved(lambda f: np.save(f, np.array(PETS))),
        "is not a plain text file",
    ),
    "a table of Excel": ("pets.xlsx", b"PK\x03\x04\x14\0\x06\0\x08\0", "is not a plain text file"),
    "broken JSON": ("pets.json", '["cat", ', "is no valid JSON of a list"),
    "deep JSON": ("pets.json", "[" * 100_000, "is no valid JSON of a list"),
    "one key twice": ("pets.json", '{"0": "cat", "0": "dog"}', "has the key 0 twice"),
    "counts": ("pets.json", '{"cat": 120, "dog": 80, "hen": 95}', "do not count from 0 or 1"),
    "a text of JSON": ("pets.json", '"cat, dog"', "is no valid JSON of a list or a mapping"),
    "wide gaps between spaces": (
        "pets.txt",
        "0 cat\n1 dog\n90 hen",
        "before its names that do not count",
    ),
    "counts after commas": ("pets.txt", "cat,120\ndog,80", "after its names that do not count"),
    "code": ("pets.py", "A = 3\nCLASSES = ['cat']", "is Python code"),
    "a web page": ("pets.html", "<html><body>cat</body></html>", "is not a plain text file"),
    "objects in YAML": ("p.yaml", "!!python/object/apply:os.system ['ls']", "does not make"),
    "a number below 0": ("pets.csv", "id,name\n-1,ignore\n0,cat\n1,dog", "has a number below 0"),
    "gaps": ("pets.json", '{"0": "cat", "2": "dog"}', "do not count from 0 or 1: 0 and 2"),
    "no numbers": ("pets.json", '{"cat": {"colour": 1}, "dog": {"colour": 2}}', "gives no order"),
    "texts to texts": ("pets.json", '{"cat": "Katze", "dog": "Hund"}', "gives no order"),
    "an empty name": ("pets.json", '["cat", "", "hen"]', "has an empty name at 1"),
    "null": ("pets.json", '["cat", null]', "has something other than a name at 1"),
    "a Python set": ("pets.txt", "{'cat', 'dog'}", "is a set, and a set has no order"),
    "a YAML set": ("pets.yaml", "!!set {cat, dog}", "is a set, and a set has no order"),
    "YAML with aliases": ("pets.yaml", "a: &a [x, x]\nb: &b [*a, *a]\nnames: [*b, *b]", "aliases"),
    "broken YAML": ("pets.yaml", "names: [cat, dog", "is not valid YAML"),
    "deep YAML": ("pets.yaml", "[" * 5000, "more parts than a list"),
    "one key twice in YAML": ("pets.yaml", "names: {0: cat, 0: dog}", "has the key 0 twice"),
    "a number for two names": (
        "pets.csv",
        "id,name\n0,cat\n0,dog\n1,hen",
        "gives the number 0 to 2",
    ),
    "two numberings": (
        "pets.csv",
        "id,index,name\n0,2,cat\n1,0,dog\n2,1,hen",
        "order the names differently",
    ),
    "ragged rows": (
        "pets.csv",
        "0,great white shark, white shark\n1,dog\n",
        "rows of different lengths",
    ),
    "numbers of unknown meaning": ("pets.csv", "cat,120\ndog,80\nhen,95", "no title says what of"),
    "an empty cell": ("pets.csv", "id,name\n0,cat\n1,\n2,hen", "has an empty name at 1"),
    "a label map without names": ("pets.pbtxt", "item { id: 1 }", "has no names in it"),
    "many columns": ("pets.csv", ("a," * 200 + "a\n") * 3, "more columns than a list"),
    "many fields": (
        "p.json",
        json.dumps([{f"k{n}": 1, "n": 1} for n in range(200)]),
        "more fields",
    ),
    "too large": ("pets.txt", b"a\n" * (3 << 20), "is too large"),
    "too long": ("pets.txt", b"a\n" * 1_000_000, "is too long"),
}


@pytest.mark.parametrize("form", REFUSED)
def test_a_file_is_refused_with_a_sentence(form: str) -> None:
    name, text, reason = REFUSED[form]
    with pytest.raises(LabelsError) as caught:
        names_in(text if isinstance(text, bytes) else text.encode(), name)
    assert caught.value.problem.startswith(f"{name} ")
    assert reason in caught.value.problem
    assert caught.value.problem.endswith(".")
    assert caught.value.remedy


SEVERAL = {
    "CSV with titles": (
        "pets.csv",
        "id,name,latin\n0,cat,felis\n1,dog,canis\n2,hen,gallus",
        "name",
        "latin",
    ),
    "CSV without titles": (
        "pets.csv",
        "0,cat,felis\n1,dog,canis\n2,hen,gallus",
        "column 2",
        "column 3",
    ),
    "JSON rows": (
        "pets.json",
        '[["cat", "felis"], ["dog", "canis"], ["hen", "gallus"]]',
        "column 1",
        "column 2",
    ),
    "two lists": (
        "pets.json",
        '{"classes": ["cat", "dog", "hen"], "label_names": ["felis", "canis", "gallus"]}',
        "classes",
        "label_names",
    ),
    "tabs": ("pets.txt", "cat\tfelis\ndog\tcanis\nhen\tgallus", "column 1", "column 2"),
}


@pytest.mark.parametrize("form", SEVERAL)
def test_of_several_columns_the_person_chooses(form: str) -> None:
    name, text, first, second = SEVERAL[form]
    file = read_label_file(text.encode(), name)
    assert [column.title for column in file.columns] == [first, second]
    with pytest.raises(LabelsError, match=rf"{name} has 2 columns .* {first} and {second}"):
        file.column()
    assert list(file.column(first).names) == PETS
    assert file.column("2").names == ("felis", "canis", "gallus")
    with pytest.raises(LabelsError, match="no column of names called other"):
        file.column("other")


def test_the_source_names_the_column_and_an_order_by_ids() -> None:
    file = read_label_file(b"id,name,latin\n9,dog,canis\n3,cat,felis", "pets.csv")
    source = file.source(file.column("latin"))
    assert source == "column latin of pets.csv by its ids"
    names = file.column("latin").names
    assert choose_labels(2, None, names, source).source == source
    with pytest.raises(LabelsError, match=r"pets\.csv by its ids has 2 names, the model has 3"):
        choose_labels(3, None, names, source)


def test_a_number_of_more_digits_than_python_reads_is_no_index() -> None:
    long = "1" * 5000
    lines = f"{long} cat", f"{long} dog"
    assert names_in("\n".join(lines).encode(), "names.txt") == lines
    assert names_in(f"{long},cat\n{long},dog".encode(), "names.csv") == ("cat", "dog")
    with pytest.raises(LabelsError):
        names_in(f'{{"{long}": "cat"}}'.encode(), "names.json")


@pytest.mark.parametrize("text", ["a" + " " * 20_000, "a" + " " * 20_000 + "b", "a " * 10_000])
def test_a_file_of_spaces_is_read_in_time_that_grows_with_its_length(text: str) -> None:
    """Patterns that search or repeat over spaces would take minutes for these lines."""
    names = names_in("\n".join([text] * 190).encode(), "spaces.txt")
    assert names == (" ".join(text.split()),) * 190


def test_the_largest_lists_are_read_in_every_form(tmp_path: Path) -> None:
    names = [f"kind {n}" for n in range(21_843)]
    by_number = dict(enumerate(names))
    forms = {
        "n.txt": "\n".join(names),
        "n.json": json.dumps(by_number),
        "n.py": str(by_number),
        "n.yaml": yaml.safe_dump({"names": by_number}),
        "n.csv": sheet([["id", "name"], *by_number.items()]),
    }
    for name, text in forms.items():
        assert list(names_in(text.encode(), name)) == names, name
