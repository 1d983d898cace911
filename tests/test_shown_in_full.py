"""What a step has shown may move to `common`: it is the same there, or says at the top in what it differs."""

import ast
import re

import pytest

from tests.steps import STEPS
from tests.support import ROOT
from tests.test_list import tracked

# Step, shared module, and what is the same in both: classes and functions.
SAME = {
    ("test5", "common/log.py"): ["Log"],
    ("test14b", "common/runs/serving.py"): ["handler", "handle_control", "send_rows", "parse", "tell_state"],
    ("test3", "common/static/page.js"): ["serverAddress", "setStatus", "explainClose", "explainRefusal"],
    ("test14", "common/static/runs/bins.js"): ["parseLine"],
    ("test14", "common/static/runs/connection.js"): ["hurry", "socketOpened", "lost", "disconnect"],
}
# The same, but for what the first lines of the module say, after "Unlike there".
UNLIKE = {
    ("test1", "common/running.py"): [("main", "run")],
    ("test5", "common/clients.py"): ["send_to_all"],
    ("test5", "common/sampling.py"): [("acquire", "readings")],
    ("test9", "common/http.py"): ["serve_file"],
    ("test14b", "common/runs/serving.py"): ["handle_data", "handle_command", "state", "send_counts"],
    ("test10", "common/static/page.js"): [("close", "showConnection")],
    ("test6", "common/static/plot.js"): [("add", "createPlot")],
    ("test14", "common/static/runs/connection.js"): ["connect", "socketClosed"],
}
# Here all of the page's script is the same.
WHOLE = ("test14b", "common/static/runs/dashboard.js")


class Bare(ast.NodeTransformer):
    """Takes away what a lesson does without: annotations, docstrings, underscores, and `self`."""

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST | None:
        if node.value is None:
            return None
        return self.generic_visit(ast.Assign([node.target], node.value))

    def visit_Assert(self, node: ast.Assert) -> None:
        """What is sure, and said for the sake of the types."""

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns = None
        node.name = node.name.lstrip("_")
        node.args.args = [argument for argument in node.args.args if argument.arg != "self"]
        return self._without_docstring(node)

    visit_AsyncFunctionDef = visit_FunctionDef

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        return self._without_docstring(node)

    def _without_docstring(self, node: ast.AST) -> ast.AST:
        if ast.get_docstring(node) is not None:
            del node.body[0]
        return self.generic_visit(node)

    def visit_arg(self, node: ast.arg) -> ast.AST:
        return ast.arg(node.arg.lstrip("_"))

    def visit_Name(self, node: ast.Name) -> ast.AST:
        return ast.Name(node.id.lstrip("_").lower() if node.id.isupper() else node.id.lstrip("_"))

    def visit_Attribute(self, node: ast.Attribute) -> ast.AST:
        if isinstance(node.value, ast.Name) and node.value.id == "self":
            return ast.Name(node.attr.lstrip("_"))
        node.attr = node.attr.lstrip("_")
        return self.generic_visit(node)


def in_python(text: str, name: str) -> str | None:
    """Return the code of a class or function as it is without what a lesson leaves out."""
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.ClassDef | ast.FunctionDef | ast.AsyncFunctionDef) and node.name == name:
            return ast.unparse(ast.fix_missing_locations(Bare().visit(node)))
    return None


def in_javascript(text: str, name: str) -> str | None:
    """Return the code of a function, or of a listener, without comments and indentation."""
    begins = rf"(?:async )?function {name}\(|socket\.onevent\(\"{name}\""
    found = re.search(rf"^( *)(?:{begins}).*?^\1\}}", text, flags=re.M | re.S)
    return found and bare(found[0])


def bare(script: str) -> str:
    lines = (re.sub(r"\s*// .*", "", line).strip() for line in script.splitlines())
    return "\n".join(line for line in lines if line)


def both(step: str, module: str, name: str | tuple[str, str]) -> tuple[str, str]:
    """Return the code of a step and of the module, under one name or two."""
    names = (name, name) if isinstance(name, str) else name
    code = in_python if module.endswith(".py") else in_javascript
    file = "server.py" if module.endswith(".py") else "client.html"
    texts = [(ROOT / path).read_text(encoding="utf-8") for path in (f"{step}/{file}", module)]
    shown, shared = (code(text, name) for text, name in zip(texts, names, strict=True))
    assert shown, f"{step}/{file}: there is no {names[0]}"
    assert shared, f"{module}: there is no {names[1]}"
    return shown, shared


def opening(module: str) -> str:
    """Return the docstring of a module, or the comment with which a script begins."""
    text = (ROOT / module).read_text(encoding="utf-8")
    if module.endswith(".py"):
        return " ".join(ast.get_docstring(ast.parse(text)).split())
    return " ".join(re.match(r"(?://.*\n)+", text)[0].replace("//", "").split())


def cases(table: dict) -> list:
    return [
        pytest.param(*where, name, id=f"{where[1]}-{name}")
        for where, names in table.items()
        for name in names
    ]


@pytest.mark.parametrize(("step", "module", "name"), cases(SAME))
def test_same(step: str, module: str, name: str) -> None:
    shown, shared = both(step, module, name)
    assert shared == shown, f"{name} of {module} is no longer what {step} shows; mend one, or say so there"


@pytest.mark.parametrize(("step", "module", "name"), cases(UNLIKE))
def test_difference_is_said(step: str, module: str, name: str | tuple[str, str]) -> None:
    shown, shared = both(step, module, name)
    assert shared != shown, f"{name} of {module} is just what {step} shows; so it is one of the SAME"
    assert f"what {step} shows in full" in opening(module)
    assert "Unlike there, " in opening(module)


def test_whole_script() -> None:
    step, module = WHOLE
    page = (ROOT / step / "client.html").read_text(encoding="utf-8").partition("<script>\n")[2]
    script = (ROOT / module).read_text(encoding="utf-8")
    assert bare(page.partition('    setStatus("connecting"')[0]) == bare(script)
    assert f"what {step} shows in full" in opening(module)


def test_nothing_else_is_said_to_be_shown() -> None:
    said = {
        (step, path)
        for path in tracked("common/*.py", "common/static/*.js")
        for step in re.findall(
            r"what (test\d+b?) shows", " ".join((ROOT / path).read_text(encoding="utf-8").split()), re.I
        )
    }
    assert said == {*SAME, *UNLIKE, WHOLE}
    # A step that is shared from must come before those that use it, which are all the later ones.
    assert all(step in STEPS for step, _ in said)
