"""What a Python name in a pickle means for whoever loads the file elsewhere."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """What Loupe thinks of a global."""

    PLAIN = "plain data"
    INERT = "unknown, kept inert"
    DANGEROUS = "would have run code"


@dataclass(frozen=True, slots=True)
class GlobalUse:
    """A Python name that the pickle gives, how often, and what it means."""

    name: str
    verdict: Verdict
    reason: str
    uses: int


DANGEROUS_MODULES: Mapping[str, str] = {
    "os": "reaches the operating system: it can run commands and delete files",
    "posix": "is os under another name: it can run commands and delete files",
    "nt": "is os under another name: it can run commands and delete files",
    "posixpath": "reaches the file system",
    "ntpath": "reaches the file system",
    "subprocess": "starts other programs",
    "commands": "starts other programs",
    "popen2": "starts other programs",
    "pty": "starts a shell",
    "multiprocessing": "starts processes",
    "concurrent": "starts threads and processes",
    "threading": "starts threads",
    "_thread": "starts threads",
    "asyncio": "starts programs and connections",
    "signal": "interferes with the process",
    "sys": "reaches into the running interpreter",
    "importlib": "imports and so runs any module",
    "imp": "imports and so runs any module",
    "zipimport": "imports and so runs any module",
    "pkgutil": "imports and so runs any module",
    "runpy": "runs Python files",
    "code": "runs Python source",
    "codeop": "compiles Python source",
    "timeit": "runs Python source",
    "cProfile": "runs Python source",
    "profile": "runs Python source",
    "trace": "runs Python source",
    "pdb": "runs Python source",
    "bdb": "runs Python source",
    "doctest": "runs Python source",
    "idlelib": "runs Python source",
    "lib2to3": "runs Python source",
    "pydoc": "runs programs",
    "webbrowser": "starts a browser",
    "ctypes": "calls any machine code",
    "_ctypes": "calls any machine code",
    "cffi": "calls any machine code",
    "mmap": "maps files into memory",
    "socket": "opens network connections",
    "_socket": "opens network connections",
    "socketserver": "opens network connections",
    "ssl": "opens network connections",
    "http": "opens network connections",
    "httplib": "opens network connections",
    "urllib": "opens network connections",
    "urllib2": "opens network connections",
    "requests": "opens network connections",
    "aiohttp": "opens network connections",
    "httpx": "opens network connections",
    "ftplib": "opens network connections",
    "smtplib": "sends mail",
    "poplib": "opens network connections",
    "imaplib": "opens network connections",
    "telnetlib": "opens network connections",
    "xmlrpc": "opens network connections",
    "shutil": "copies and deletes files",
    "tempfile": "writes files",
    "fileinput": "reads and writes files",
    "glob": "reads folders",
    "io": "opens files",
    "_io": "opens files",
    "sqlite3": "writes files and loads extensions",
    "dbm": "writes files",
    "shelve": "unpickles other data",
    "pickle": "unpickles other data, which can run code",
    "_pickle": "unpickles other data, which can run code",
    "cPickle": "unpickles other data, which can run code",
    "pickletools": "handles other pickles",
    "dill": "unpickles functions and code",
    "cloudpickle": "unpickles functions and code",
    "joblib": "unpickles other data, which can run code",
    "marshal": "makes code objects",
    "inspect": "reaches into running code",
    "gc": "reaches any object of the process",
    "types": "makes functions out of code objects",
    "operator": "calls any attribute or method of an object",
    "_operator": "calls any attribute or method of an object",
    "functools": "prepares calls of any function",
    "_functools": "prepares calls of any function",
    "pip": "installs packages",
    "ensurepip": "installs packages",
    "venv": "starts other programs",
    "distutils": "starts other programs",
    "setuptools": "starts other programs",
    "site": "runs start-up files",
    "logging": "its configuration can call any function",
    "torch.hub": "downloads and runs code",
    "torch.jit": "runs compiled code",
    "torch.serialization": "loads another file, which can run code",
    "torch.package": "imports code out of a file",
    "torch.utils.cpp_extension": "compiles and loads machine code",
    "torch.ops": "loads machine code",
    "torch.distributed": "opens network connections",
    "torch.multiprocessing": "starts processes",
    "torch._dynamo": "runs compiled code",
    "torch._inductor": "runs compiled code",
    "torch.fx": "makes modules out of source code",
    "numpy.testing": "runs Python source",
    "numpy.f2py": "compiles and loads machine code",
    "numpy.distutils": "starts other programs",
    "numpy.ctypeslib": "calls any machine code",
    "pandas.io": "reads files and other pickles",
    "IPython": "runs commands",
    "bpy": "runs Python source",
}
"""Modules none of whose names may be called by a file, with what they do. A module's submodules
go with it."""

DETOURS = frozenset(
    {"os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "importlib", "shutil",
     "ctypes", "socket", "pty", "runpy"}
)  # fmt: skip
"""Modules that are dangerous as a part of another's name too: `torch.os.system`."""

DANGEROUS_NAMES: Mapping[str, str] = {
    **{
        f"{module}.{name}": reason
        for module in ("builtins", "__builtin__")
        for name, reason in {
            "eval": "runs Python source",
            "exec": "runs Python source",
            "execfile": "runs Python files",
            "compile": "compiles Python source",
            "__import__": "imports and so runs any module",
            "open": "opens files",
            "file": "opens files",
            "input": "waits for input, and in Python 2 runs it",
            "breakpoint": "starts a debugger",
            "getattr": "reaches any attribute of an object, the first step of most attacks",
            "setattr": "changes any attribute of an object",
            "delattr": "removes any attribute of an object",
            "globals": "reaches every name of the process",
            "locals": "reaches the names of running code",
            "vars": "reaches every name of an object",
            "dir": "lists what an object has, a step of attacks",
            "apply": "calls any function",
            "map": "calls any function",
            "filter": "calls any function",
            "reduce": "calls any function",
            "type": "makes classes",
            "super": "reaches into classes",
            "memoryview": "reaches raw memory",
            "exit": "ends the process",
            "quit": "ends the process",
            "help": "starts a pager",
        }.items()
    },
    "torch.load": "loads another file, which can run code",
    "torch.save": "writes files",
    "torch.compile": "runs compiled code",
    "torch.storage._load_from_bytes": "unpickles other data, which can run code",
    "numpy.load": "loads another file, which can run code",
    "numpy.save": "writes files",
    "numpy.fromfile": "reads files",
    "numpy.memmap": "maps files into memory",
    "pandas.read_pickle": "loads another file, which can run code",
    "collections.namedtuple": "makes a class by running generated source",
    "copyreg.add_extension": "changes how pickles are read",
}

PLAIN_NAMES: Mapping[str, str] = {
    "argparse.Namespace": "a set of command-line options, shown as metadata",
    "types.SimpleNamespace": "a set of named values, shown as metadata",
    "pathlib.Path": "a path, shown as metadata",
    "pathlib.PosixPath": "a path, shown as metadata",
    "pathlib.WindowsPath": "a path, shown as metadata",
    "pathlib.PurePosixPath": "a path, shown as metadata",
    "pathlib.PureWindowsPath": "a path, shown as metadata",
    "pathlib._local.PosixPath": "a path, shown as metadata",
    "pathlib._local.WindowsPath": "a path, shown as metadata",
    "datetime.datetime": "a date, shown as metadata",
    "datetime.date": "a date, shown as metadata",
    "datetime.timedelta": "a span of time, shown as metadata",
    "collections.Counter": "a dictionary of counts, shown as metadata",
    "collections.deque": "a list, shown as metadata",
    "decimal.Decimal": "a number, shown as metadata",
    "fractions.Fraction": "a number, shown as metadata",
    "uuid.UUID": "an identifier, shown as metadata",
    **{
        f"torch.jit._pickle.{name}": "a list of values, kept as data"
        for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
    },
    "torch.jit._pickle.restore_type_tag": "a typed list or dictionary, kept as data",
}
"""Classes of the standard library that only hold values, and what torch.jit.save writes lists by
(torch/jit/_pickle.py)."""


def judge(name: str, uses: int, *, known: bool) -> GlobalUse:
    """The verdict on a global; `known`: our own constructors make it, as a torch dtype or dict."""
    if known:
        return GlobalUse(
            name, Verdict.PLAIN, "Data that Loupe rebuilds with its own functions.", uses
        )
    if name in PLAIN_NAMES:
        return GlobalUse(name, Verdict.PLAIN, f"It is {PLAIN_NAMES[name]}.", uses)
    danger = _danger(name)
    if danger:
        return GlobalUse(
            name, Verdict.DANGEROUS, f"It {danger}. Loupe did not import or call it.", uses
        )
    return GlobalUse(
        name,
        Verdict.INERT,
        "A class or function that Loupe does not know. It was not imported: its contents are "
        "kept as data.",
        uses,
    )


def _danger(name: str) -> str | None:
    if name in DANGEROUS_NAMES:
        return DANGEROUS_NAMES[name]
    parts = name.split(".")
    for end in range(len(parts), 0, -1):
        found = DANGEROUS_MODULES.get(".".join(parts[:end]))
        if found:
            return found
    if any(part.startswith("__") and part.endswith("__") for part in parts[1:]):
        return "reaches into the inner workings of an object"
    if any(part in DETOURS for part in parts[1:]):
        return "reaches a module that runs code, by way of another that imported it"
    if any(f"{parts[0]}.{part}" in DANGEROUS_NAMES for part in parts[1:]):
        return "reaches a function that runs code, by a detour"
    return None
