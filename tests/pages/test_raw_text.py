"""No page draws text that is not ours as Markdown or HTML: by the source of the pages.

The rule: what Streamlit draws as Markdown or HTML is a constant, a number, or goes through
core.plain_text. An f-string, a choice, a join, a local name or a function of the same file is
followed to what it is made of.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

REPOSITORY = Path(__file__).parents[2]
FILES = [REPOSITORY / "app.py", *sorted((REPOSITORY / "pages").rglob("*.py"))]

FIRST = frozenset(
    (
        *("error", "warning", "info", "success", "markdown", "caption", "write", "title"),
        *("header", "subheader", "toast", "badge", "spinner", "button", "toggle"),
        *("checkbox", "radio", "selectbox", "multiselect", "pills", "segmented_control"),
        *("text_input", "text_area", "number_input", "slider", "file_uploader", "expander"),
        *("popover", "metric", "download_button", "form_submit_button", "link_button"),
        *("menu_button", "status", "tabs", "html", "table", "chat_message", "exception"),
        *("latex", "date_input", "color_picker", "feedback", "pressed"),
    )
)
"""Calls of which the first argument is drawn: as Markdown, or as HTML for `html`."""

NAMED = frozenset({"help", "label", "caption", "show_spinner"})
"""Arguments that are drawn, of whatever call."""

MARKDOWN, HTML = frozenset({"plain", "plain_sentence", "code"}), frozenset({"markup"})
"""The functions of core.plain_text for either."""

NUMBERS = frozenset(
    (
        *(
            "count",
            "counted_parameters",
            "duration",
            "in_percent",
            "len",
            "parameters",
            "pass_time",
        ),
        *("percent", "shape", "size", "tensors", "are", "have"),
    )
)
"""Functions that write numbers, or words for these, whatever they are given."""

SLOT = "slot"
"""The one name that needs no escape wherever it comes from: it is `A` or `B`."""


class Source:
    """A file, with what its functions return and its names are made of."""

    def __init__(self, text: str) -> None:
        self.tree = ast.parse(text)
        self.parents = {
            child: parent
            for parent in ast.walk(self.tree)
            for child in ast.iter_child_nodes(parent)
        }
        self.functions = {
            node.name: node for node in ast.walk(self.tree) if isinstance(node, ast.FunctionDef)
        }
        self._under_way: set[ast.AST] = set()
        self._ours = MARKDOWN

    def raw(self) -> Iterator[tuple[int, str]]:
        """Line and text of every drawn expression that breaks the rule."""
        for node in ast.walk(self.tree):
            if isinstance(node, ast.Call):
                self._ours = HTML if _name(node) == "html" else MARKDOWN
                for drawn in _drawn(node):
                    if not self.safe(drawn):
                        yield drawn.lineno, ast.unparse(drawn)

    def safe(self, node: ast.expr) -> bool:
        """Whether it is made of constants, numbers and what goes through core.plain_text."""
        match node:
            case ast.Constant():
                return True
            case ast.JoinedStr(values):
                return all(map(self.safe, values)) and not _fused(values)
            case ast.FormattedValue(value, _, spec):
                return _is_number(spec) or self.safe(value)
            case ast.IfExp(_, body, other):
                return self.safe(body) and self.safe(other)
            case ast.BoolOp(_, values) | ast.List(values) | ast.Tuple(values):
                return all(map(self.safe, values))
            case ast.BinOp(left, _, right):
                return self.safe(left) and self.safe(right)
            case ast.Starred(value) | ast.NamedExpr(_, value):
                return self.safe(value)
            case ast.Subscript(value, ast.Slice()):
                return self.safe(value)
            case ast.Subscript(value) | ast.Attribute(value):
                return isinstance(value, ast.Name) and value.id.isupper()
            case ast.Dict(keys, values):
                return all(self.safe(each) for each in [*filter(None, keys), *values])
            case ast.DictComp(key, value):
                return self.safe(key) and self.safe(value)
            case ast.ListComp(element) | ast.GeneratorExp(element) | ast.Lambda(_, element):
                return self.safe(element)
            case ast.Call(ast.Name(name), arguments):
                return self._safe_call(name, arguments)
            case ast.Call(ast.Attribute(ast.Constant(), "join"), [pieces]):
                return self.safe(pieces)
            case ast.Name(name):
                return name in (SLOT, "icon") or name.isupper() or self._safe_name(node)
        return False

    def _safe_call(self, name: str, arguments: list[ast.expr]) -> bool:
        if name in self._ours | NUMBERS:
            return True
        if name == "counted":  # a number and a noun
            return self.safe(arguments[-1])
        if name == "map":
            function = arguments[0]
            return isinstance(function, ast.Name) and self._safe_call(function.id, [])
        if name in ("list", "filter", "sorted"):
            return self.safe(arguments[-1])
        return name in self.functions and self._safe_function(self.functions[name])

    def _safe_function(self, function: ast.FunctionDef) -> bool:
        if function in self._under_way:
            return True
        self._under_way.add(function)
        returned = [
            node.value
            for node in ast.walk(function)
            if isinstance(node, ast.Return | ast.Yield | ast.YieldFrom) and node.value is not None
        ]
        found = bool(returned) and all(map(self.safe, returned))
        self._under_way.discard(function)
        return found

    def _safe_name(self, name: ast.Name) -> bool:
        """Whether all that a local name stands for is safe, what is appended to it included."""
        scope: ast.AST = name
        while not isinstance(scope, ast.FunctionDef | ast.Module):
            scope = self.parents[scope]
        if isinstance(scope, ast.FunctionDef) and scope.name in FIRST:
            return scope.args.args[0].arg == name.id
        values: list[ast.expr | None] = []
        for node in ast.walk(scope):
            match node:
                case ast.Assign([ast.Name(target)], value) if target == name.id:
                    values.append(value)
                case ast.AnnAssign(ast.Name(target), _, value) if target == name.id and value:
                    values.append(value)
                case ast.NamedExpr(ast.Name(target), value) if target == name.id:
                    values.append(value)
                case ast.Assign([ast.Tuple(targets)], ast.Tuple(sources)):
                    pairs = zip(targets, sources, strict=False)
                    values += [v for t, v in pairs if isinstance(t, ast.Name) and t.id == name.id]
                case ast.For(target, source) | ast.comprehension(target, source) if _binds(
                    target, name.id
                ):
                    values.append(source if isinstance(source, ast.Tuple | ast.List) else None)
                case ast.Call(ast.Attribute(ast.Name(target), "append"), [value]):
                    values += [value] if target == name.id else []
        return bool(values) and all(
            value is not None and (_binds(value, name.id) or self.safe(value)) for value in values
        )


def _drawn(call: ast.Call) -> Iterator[ast.expr]:
    name = _name(call)
    if call.args and (name in FIRST or name.endswith("Column")):
        yield call.args[0]
    for keyword in call.keywords:
        if keyword.arg in NAMED or (name == "progress" and keyword.arg == "text"):
            yield keyword.value
        if keyword.arg == "format_func" and name in ("pills", "segmented_control", "radio"):
            yield keyword.value


def _name(call: ast.Call) -> str:
    function = call.func
    return function.attr if isinstance(function, ast.Attribute) else getattr(function, "id", "")


def _is_number(spec: ast.expr | None) -> bool:
    """Whether a format is one of numbers alone, such as `.3f`."""
    return spec is not None and ast.unparse(spec).rstrip("'\"")[-1:] in "dfge%,"


def _fused(values: list[ast.expr]) -> bool:
    """Whether two texts stand next to each other, or one inside of backticks: code would be read
    over their edge."""
    escaped = [
        isinstance(value, ast.FormattedValue)
        and isinstance(value.value, ast.Call)
        and getattr(value.value.func, "id", "") in ("plain", "plain_sentence", "code")
        for value in values
    ]
    ticks = 0
    for value, is_escaped, next_is in zip(values, escaped, [*escaped[1:], False], strict=True):
        if isinstance(value, ast.Constant):
            ticks += str(value.value).count("`")
        if is_escaped and (next_is or ticks % 2):
            return True
    return False


def _binds(target: ast.expr, name: str) -> bool:
    return any(isinstance(node, ast.Name) and node.id == name for node in ast.walk(target))


@pytest.mark.parametrize("path", FILES, ids=lambda path: str(path.relative_to(REPOSITORY)))
def test_no_page_draws_text_that_is_not_ours_raw(path: Path) -> None:
    found = [f"line {line}: {text}" for line, text in Source(path.read_text()).raw()]
    assert not found, (
        f"{path.relative_to(REPOSITORY)} draws text as Markdown or HTML that may come from a file, "
        "a link or a person. Put it through core.plain_text: plain(name), code(key), "
        "plain_sentence(str(error)), or markup(text) in HTML.\n" + "\n".join(found)
    )


RAW = (
    "st.error(str(error))",
    "st.caption(f'Of {checkpoint.name}')",
    "st.caption(f'`{plain(x)}`')",
    "st.markdown(f'{plain(a)}{plain(b)}')",
    "st.button('x', help=error.problem)",
    "st.progress(0.5, text=said)",
    "left.expander(name)",
    "st.html('<b>' + name + '</b>')",
    "st.table({'A': [fact.a for fact in facts]})",
    "st.pills('x', options, format_func=lambda key: key)",
    "st.column_config.TextColumn(label)",
    "def f(key):\n    said = key\n    st.info(said)",
    "def f(keys):\n    said = []\n    said.append(keys[0])\n    st.info(', '.join(said))",
    "def _words(key):\n    return key\nst.info(_words(key))",
    "st.html(plain(name))",
    "st.info(markup(name))",
    "st.info(counted(3, name))",
)

SAFE = (
    "st.error(plain_sentence(str(error)), icon=':material/error:')",
    "st.caption(f'**{slot}** of {plain(name)}: {count(3)} in {seconds:.2f}')",
    "st.caption('a' if x else f'b {size(n)}')",
    "st.caption(ABOUT[kind])",
    "st.caption(f\"{counted(n, 'key')} {are(n)} left out.\")",
    "def f(key):\n    said = plain(key)\n    st.info(said)",
    "def f(keys):\n    said = ['x']\n    said.append(plain(keys[0]))\n    st.info(', '.join(said))",
    "def _words(key):\n    return plain(key)\nst.info(_words(key))",
    "st.table({'A': [plain(fact.a) for fact in facts]})",
    "st.html('<b>' + markup(name) + '</b>')",
)


@pytest.mark.parametrize("text", RAW)
def test_the_rule_finds_raw_text(text: str) -> None:
    assert list(Source(text).raw())


@pytest.mark.parametrize("text", SAFE)
def test_the_rule_lets_safe_text_be(text: str) -> None:
    assert not list(Source(text).raw())
