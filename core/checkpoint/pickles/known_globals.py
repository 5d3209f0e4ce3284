"""The tables behind the verdicts: globals that a pickle may name, and what each of them does.

Each text becomes a sentence with "It" or "It is" before it.
"""

from __future__ import annotations

from collections.abc import Mapping

DANGEROUS_MODULES: Mapping[str, str] = {
    "os": "reaches the operating system: it can run commands and delete files",
    "posix": "is os under another name: it can run commands and delete files",
    "nt": "is os under another name: it can run commands and delete files",
    "posixpath": "reaches the file system",
    "ntpath": "reaches the file system",
    "subprocess": "starts other programs",
    "_posixsubprocess": "starts other programs",
    "_winapi": "starts other programs",
    "pexpect": "starts other programs",
    "psutil": "starts and ends other programs",
    "_osx_support": "starts other programs",
    "_aix_support": "starts other programs",
    "_pyrepl": "starts other programs",
    "platform": "starts other programs to learn about the machine",
    "uuid": "starts other programs to learn about the machine",
    "test.support": "starts other programs",
    "atexit": "calls any function when the process ends",
    "commands": "starts other programs",
    "pipes": "runs shell commands",
    "_interpreters": "runs Python source in another interpreter",
    "_xxsubinterpreters": "runs Python source in another interpreter",
    "interpreters": "runs Python source in another interpreter",
    "concurrent.interpreters": "runs Python source in another interpreter",
    "concurrent.futures.process": "starts processes",
    "concurrent.futures.thread": "starts threads",
    "_testcapi": "reaches into the running interpreter",
    "_testinternalcapi": "reaches into the running interpreter",
    "cgitb": "replaces how the process handles errors, and writes files",
    "modulefinder": "imports and so runs any module",
    "zipapp": "writes programs",
    "mailcap": "runs shell commands",
    "mailbox": "reads and writes files",
    "readline": "reads and writes files",
    "tkinter": "runs Tcl, which can start programs",
    "_tkinter": "runs Tcl, which can start programs",
    "turtle": "runs Tcl, which can start programs",
    "antigravity": "starts a browser",
    "wsgiref": "opens network connections",
    "_posixshmem": "reaches the memory of other processes",
    "_wmi": "asks Windows about the machine",
    "_overlapped": "opens network connections",
    "winreg": "changes the settings of Windows",
    "_winreg": "changes the settings of Windows",
    "msilib": "writes installers of programs",
    "popen2": "starts other programs",
    "pty": "starts a shell",
    "multiprocessing": "starts processes",
    "_thread": "starts threads",
    "asyncio": "starts programs and connections",
    "signal": "interferes with the process",
    "_signal": "interferes with the process",
    "resource": "changes what the process may use",
    "faulthandler": "interferes with the process",
    "sys": "reaches into the running interpreter",
    "importlib": "imports and so runs any module",
    "imp": "imports and so runs any module",
    "_imp": "imports and so runs any module",
    "_frozen_importlib": "imports and so runs any module",
    "_frozen_importlib_external": "imports and so runs any module",
    "zipimport": "imports and so runs any module",
    "pkgutil": "imports and so runs any module",
    "runpy": "runs Python files",
    "code": "runs Python source",
    "codeop": "compiles Python source",
    "compileall": "compiles Python files",
    "py_compile": "compiles Python files",
    "rlcompleter": "runs Python source",
    "numexpr": "runs Python source",
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
    "http.client": "opens network connections",
    "http.server": "opens network connections",
    "httplib": "opens network connections",
    "urllib.request": "opens network connections",
    "urllib2": "opens network connections",
    "requests.api": "opens network connections",
    "aiohttp": "opens network connections",
    "httpx": "opens network connections",
    "ftplib": "opens network connections",
    "smtplib": "sends mail",
    "poplib": "opens network connections",
    "imaplib": "opens network connections",
    "telnetlib": "opens network connections",
    "nntplib": "opens network connections",
    "asyncore": "opens network connections",
    "asynchat": "opens network connections",
    "smtpd": "opens network connections",
    "select": "waits on files and network connections",
    "selectors": "waits on files and network connections",
    "paramiko": "opens network connections and runs commands",
    "gdown": "downloads files",
    "wget": "downloads files",
    "xmlrpc": "opens network connections",
    "shutil": "copies and deletes files",
    "tempfile": "writes files",
    "fileinput": "reads and writes files",
    "glob": "reads folders",
    "filecmp": "reads files",
    "linecache": "reads files",
    "tarfile": "reads and writes files",
    "zipfile": "reads and writes files",
    "syslog": "writes to the machine's log",
    "io": "opens files",
    "_io": "opens files",
    "sqlite3": "writes files and loads extensions",
    "_sqlite3": "writes files and loads extensions",
    "dbm": "writes files",
    "shelve": "unpickles other data",
    "pickle": "unpickles other data, which can run code",
    "_pickle": "unpickles other data, which can run code",
    "cPickle": "unpickles other data, which can run code",
    "pickletools": "handles other pickles",
    "dill": "unpickles functions and code",
    "cloudpickle": "unpickles functions and code",
    "jsonpickle": "makes objects of any class",
    "marshal": "makes code objects",
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
    "logging.config": "calls any function that a configuration names",
    "logging.handlers": "writes files and opens network connections",
    "torch.hub": "downloads and runs code",
    "torch.multiprocessing": "starts processes",
    "torch.multiprocessing.reductions": "reaches the memory of other processes",
    "torchvision.datasets.utils": "downloads and unpacks files",
    "numpy.lib.npyio": "reads and writes files",
    "numpy.lib._npyio_impl": "reads and writes files",
    "numpy.lib.format": "reads and writes files",
    "numpy.testing": "runs Python source",
    "numpy.f2py": "compiles and loads machine code",
    "numpy.distutils": "starts other programs",
    "numpy.ctypeslib": "calls any machine code",
    "IPython": "runs commands",
    "fickling": "reaches into a scanner that looks for such files",
    "picklescan": "reaches into a scanner that looks for such files",
    "modelscan": "reaches into a scanner that looks for such files",
    "model_unpickler": "reaches into a scanner that looks for such files",
    "saferpickle": "reaches into a scanner that looks for such files",
    "modelaudit": "reaches into a scanner that looks for such files",
    "bpy": "runs Python source",
    "simpleeval": "runs Python source",
    "asteval": "runs Python source",
    "fcntl": "reaches the files of the process",
    "termios": "interferes with the terminal",
    "ptyprocess": "starts other programs",
    "plumbum": "starts other programs",
    "boto3": "opens network connections",
    "urllib3.connectionpool": "opens network connections",
    "nltk.downloader": "downloads files",
    "posixfile": "opens files",
    "imputil": "imports and so runs any module",
    "ihooks": "imports and so runs any module",
    "getpass": "waits for input",
    "csv": "reads and writes files",
    "safetensors.numpy": "reads and writes files",
    "safetensors.torch": "reads and writes files",
    "torch.utils.show_pickle": "loads another file, which can run code",
    "transformers.dynamic_module_utils": "imports and so runs any file",
    "statsmodels.iolib.smpickle": "loads another file, which can run code",
}
"""Modules from which a checkpoint needs no name, with what calling them does. Their submodules are
included."""

MIXED_MODULES: Mapping[str, str] = {
    "concurrent": "starts threads and processes",
    "threading": "starts threads",
    "unittest": "runs Python source and replaces functions of the process",
    "logging": "writes files and calls functions, where its configuration says so",
    "inspect": "reaches into running code",
    "joblib": "unpickles other data, which can run code",
    "yaml": "makes objects of any class",
    "sympy": "runs text as Python source",
    "requests": "opens network connections",
    "http": "opens network connections",
    "urllib": "opens network connections",
    "fsspec": "opens files and network connections",
    "huggingface_hub": "downloads and uploads files",
    "torch.jit": "runs compiled code",
    "torch.serialization": "loads another file, which can run code",
    "torch.package": "imports code out of a file",
    "torch.distributed": "opens network connections",
    "torch._dynamo": "runs compiled code",
    "torch._inductor": "runs compiled code",
    "torch.utils._config_module": "unpickles other data, which can run code",
    "torch.utils.bottleneck": "runs Python source",
    "torch.utils.collect_env": "starts other programs",
    "torch.utils.cpp_extension": "compiles and loads machine code",
    "torch.utils.data.datapipes.utils.decoder": "unpickles other data, which can run code",
    "torch.utils.model_zoo": "downloads files",
    "torchvision.io": "reads and writes files",
    "torch.fx": "makes modules out of source code",
    "pandas.io": "reads files and other pickles",
    "h5py": "reads and writes files",
    "scipy.io": "reads and writes files",
    "onnx": "reads and writes files",
    "pyarrow.parquet": "reads and writes files",
    "urllib3": "opens network connections",
    "keras.models": "loads another file, which can run code",
    "mlflow": "loads another file, which can run code",
    "skops.io": "loads another file, which can run code",
    "torch.cuda._memory_viz": "reads and writes files",
    "hydra": "calls any function that a configuration names",
    "numba": "compiles and runs code",
    "pkg_resources": "imports and so runs any module",
    "torch.testing._internal": "starts other programs",
    "transformers.utils.import_utils": "imports and so runs any module",
    "transformers.utils.hub": "downloads files",
    "timm.models._hub": "downloads files, and loads others",
    "timm.models._helpers": "loads another file, which can run code",
    "timm.models.helpers": "loads another file, which can run code",
    "lightning.fabric.utilities.cloud_io": "loads another file, which can run code",
    "pytorch_lightning.utilities.cloud_io": "loads another file, which can run code",
    "lightning_fabric.utilities.cloud_io": "loads another file, which can run code",
    "pandas.core.computation": "runs Python source",
    "sklearn.externals.joblib": "unpickles other data, which can run code",
}
"""Modules whose functions do such things, and whose classes are mostly data: `torch.distributed`
has `init_process_group`, and the layout of a DeviceMesh. A class in them, by the style of its name
(PEP 8), is unknown like any other unless it is listed."""

DETOURS = frozenset(
    {"os", "posix", "nt", "sys", "subprocess", "builtins", "__builtin__", "importlib", "shutil",
     "ctypes", "socket", "pty", "runpy", "pickle", "marshal", "pdb", "tempfile", "urllib",
     "webbrowser", "multiprocessing"}
)  # fmt: skip
"""Modules that are dangerous also as an attribute of another module, which imported them:
`torch.os.system`, or `random._os.system` as in many modules of the standard library."""

GETATTR = ("builtins.getattr", "__builtin__.getattr")
TYPE = ("builtins.type", "__builtin__.type")
GETITEM = ("operator.getitem", "_operator.getitem")
UNION = ("builtins.reduce", "__builtin__.reduce", "functools.reduce", "_functools.reduce")
LOAD_FROM_BYTES = "torch.storage._load_from_bytes"

AS_DATA: Mapping[str, str] = {
    **dict.fromkeys(
        GETATTR,
        "fetches what a class or an object has under a name, as pickles write a member of an Enum, "
        "a class inside a class and a method; that class is listed by itself, and the pickle calls "
        "no function that was fetched",
    ),
    **{
        f"{module}.{name}": f"makes what fetches {what} once something calls it; the pickle only "
        "stores it"
        for module in ("operator", "_operator")
        for name, what in (
            ("itemgetter", "an item"),
            ("attrgetter", "an attribute"),
            ("methodcaller", "a method, and calls it,"),
        )
    },
    **dict.fromkeys(GETITEM, "writes a type with those of its items, such as typing.List[int]"),
    **dict.fromkeys(UNION, "writes a choice of types, such as int | None"),
    "fsspec.spec.make_instance": "makes the object with which fsspec reaches the files of the "
    "machine; it opens none by itself",
    LOAD_FROM_BYTES: "loads the bytes of a tensor, as pickle.dump writes them: a stream of "
    "torch.save inside the pickle, which Loupe reads with its own functions",
}
"""Dangerous functions that honest files use in one way, with what that use does. They are dangerous
only in a file that uses them in any other way."""

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
            "super": "reaches into classes",
            "memoryview": "reaches raw memory",
            "exit": "ends the process",
            "quit": "ends the process",
            "help": "starts a pager",
        }.items()
    },
    **dict.fromkeys(
        (
            *("codecs.open", "gzip.open", "gzip.GzipFile", "bz2.open", "bz2.BZ2File"),
            *("lzma.open", "lzma.LZMAFile", "tokenize.open", "fsspec.LocalFileOpener"),
            "fsspec.implementations.local.LocalFileOpener",
        ),
        "opens files",
    ),
    **dict.fromkeys(
        ("tabnanny.check", "netrc.netrc", "xml.etree.ElementTree.parse", "pyclbr.readmodule"),
        "reads files",
    ),
    **dict.fromkeys(
        (
            *("pandas.ExcelFile", "pandas.ExcelWriter", "pandas.HDFStore"),
            *("pandas.io.excel._base.ExcelFile", "pandas.io.excel._base.ExcelWriter"),
            "pandas.io.pytables.HDFStore",
        ),
        "reads and writes files",
    ),
    **dict.fromkeys(
        (
            *("_thread.start_new_thread", "_thread.start_new", "threading.Thread"),
            *("threading.Timer", "_thread.start_joinable_thread"),
        ),
        "starts threads",
    ),
    "_thread.interrupt_main": "interferes with the process",
    "_sitebuiltins.Quitter": "ends the process",
    "logging.FileHandler": "writes files",
    "unittest.TestProgram": "runs Python source",
    "unittest.main.TestProgram": "runs Python source",
    **{
        f"{module}.{name}": "opens network connections"
        for module in ("requests", "requests.sessions")
        for name in ("Session", "session")
    },
    **{
        f"{module}.{name}": "opens network connections"
        for module in ("torch.distributed", "torch._C._distributed_c10d")
        for name in ("TCPStore", "FileStore")
    },
    **dict.fromkeys(
        ("torch.ops.load_library", "torch.classes.load_library", "torch._ops.load_library"),
        "loads machine code",
    ),
    **dict.fromkeys(
        ("torch.package.PackageImporter", "torch.package.package_importer.PackageImporter"),
        "imports code out of a file",
    ),
    **dict.fromkeys(
        ("torch.package.PackageExporter", "torch.package.package_exporter.PackageExporter"),
        "writes files",
    ),
    **dict.fromkeys(
        ("torch.jit.CompilationUnit", "torch._C.CompilationUnit"), "compiles and runs source"
    ),
    **dict.fromkeys(
        ("torch.utils.benchmark.Timer", "torch.utils.benchmark.utils.timer.Timer"),
        "runs Python source",
    ),
    **{
        f"{module}.attrgetter": "fetches any attribute of what it is called with, a step of many "
        "attacks"
        for module in ("operator", "_operator")
    },
    **{
        f"{module}.itemgetter": "fetches any item of what it is called with, a step of some attacks"
        for module in ("operator", "_operator")
    },
    **{
        f"torch.fx.graph_module.{name}": "runs Python source that is in the file"
        for name in (
            *("reduce_graph_module", "reduce_package_graph_module"),
            "reduce_deploy_graph_module",
        )
    },
    "torch.load": "loads another file, which can run code",
    "torch.serialization.save": "writes files",
    "torch.save": "writes files",
    "torch.jit.save": "writes files",
    **dict.fromkeys(
        (
            "dataclasses._create_fn",
            "dataclasses.make_dataclass",
            "attr._make._compile_and_eval",
            "attr._make._make_method",
            "typing.ForwardRef._evaluate",
            "typing.get_type_hints",
            "six.exec_",
            "past.builtins.execfile",
            "streamlit.runtime.scriptrunner.exec_code",
            "PIL.ImageMath.eval",
            "PIL.ImageMath.unsafe_eval",
            "PIL.ImageMath.lambda_eval",
        ),
        "runs Python source",
    ),
    **dict.fromkeys(
        ("numpy.ndarray.tofile", "numpy.ndarray.dump", "numpy.tofile", "numpy.savez_compressed"),
        "writes files",
    ),
    **dict.fromkeys(("h5py.File", "h5py._hl.files.File"), "reads and writes files"),
    **dict.fromkeys(("PIL.Image.open", "PIL.Image.Image.save"), "reads and writes files"),
    **{
        f"omegaconf.{module}OmegaConf.{name}": "reads and writes files"
        for module in ("", "omegaconf.")
        for name in ("save", "load")
    },
    **{
        f"pathlib.{module}{kind}.{name}": "reads and changes the file system"
        for module in ("", "_local.")
        for kind in ("Path", "PosixPath", "WindowsPath")
        for name in (
            "unlink",
            "rmdir",
            "mkdir",
            "touch",
            "open",
            "write_text",
            "write_bytes",
            "read_text",
            "read_bytes",
            "rename",
            "replace",
            "chmod",
            "lchmod",
            "symlink_to",
            "hardlink_to",
            "link_to",
            "glob",
            "rglob",
            "iterdir",
            "walk",
            "copy",
            "copy_into",
            "move",
            "move_into",
            "expanduser",
        )
    },
    **{
        f"pandas.{module}DataFrame.{name}": "runs Python source"
        for module in ("", "core.frame.")
        for name in ("query", "eval")
    },
    **dict.fromkeys(
        (
            "torch._C.import_ir_module",
            "torch._C.import_ir_module_from_buffer",
            "torch._C._jit_import",
            "torch._C._import_ir_module_from_package",
        ),
        "runs compiled code",
    ),
    **dict.fromkeys(
        ("itertools.starmap", "contextlib.ExitStack.callback", "contextlib.ExitStack.push"),
        "calls any function",
    ),
    **dict.fromkeys(
        (
            "pydantic.v1.utils.import_string",
            "pydantic._internal._validators.import_string",
            "pydantic.utils.import_string",
            "django.utils.module_loading.import_string",
            "werkzeug.utils.import_string",
        ),
        "imports and so runs any module",
    ),
    **dict.fromkeys(
        (
            "jinja2.Template",
            "jinja2.environment.Template",
            "mako.template.Template",
            "jinja2.environment.Environment.from_string",
        ),
        "runs templates, which are like Python source",
    ),
    "accelerate.utils.modeling.load_checkpoint_in_model": "loads another file, which can run code",
    "pandas.DataFrame.to_pickle": "writes files",
    "pandas.core.frame.DataFrame.to_pickle": "writes files",
    "git.Repo.clone_from": "starts other programs",
    "numpy.compat.npy_load_module": "imports and so runs any module",
    "torch.from_file": "maps files into memory",
    "torch.compile": "runs compiled code",
    LOAD_FROM_BYTES: "unpickles other data, which can run code",
    "numpy.load": "loads another file, which can run code",
    "numpy.save": "writes files",
    "numpy.savez": "writes files",
    "numpy.savetxt": "writes files",
    "numpy.loadtxt": "reads files",
    "numpy.genfromtxt": "reads files",
    "numpy.DataSource": "opens network connections",
    "numpy.fromfile": "reads files",
    "numpy.memmap": "maps files into memory",
    "pandas.read_pickle": "loads another file, which can run code",
    "pandas.eval": "runs Python source",
    "weakref.finalize": "calls any function when the process ends",
    "collections.namedtuple": "makes a class by running generated source",
    "copyreg.add_extension": "changes how pickles are read",
}

PLAIN_NAMES: Mapping[str, str] = {
    "argparse.Namespace": "a set of command-line options, shown as metadata",
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
    **{
        f"torch.distributed.checkpoint.{name}": "a part of a distributed checkpoint's own index"
        for name in (
            *("metadata.Metadata", "metadata.MetadataIndex", "metadata.StorageMeta"),
            *("metadata.TensorStorageMetadata", "metadata.BytesStorageMetadata"),
            *("metadata.ChunkStorageMetadata", "metadata.TensorProperties"),
            *("metadata._MEM_FORMAT_ENCODING", "filesystem._StorageInfo"),
        )
    },
}
"""Classes that only contain values, of the standard library and of the index of distributed
checkpoints in torch."""

HARMLESS_NAMES: Mapping[str, str] = {
    "__builtin__.unicode": "the type of texts, under its name in Python 2",
    "__builtin__.long": "the type of whole numbers, under its name in Python 2",
    **dict.fromkeys(TYPE, "the type of classes, or that of a value"),
    "types.SimpleNamespace": "a set of named values",
    "types.MappingProxyType": "a dictionary",
    "types.GenericAlias": "a type with the types of its items, such as list[int]",
    "types.UnionType": "a choice of types, such as int | None",
    "types.NoneType": "the type of None",
    "types.EllipsisType": "the type of an ellipsis",
    "types.NotImplementedType": "the type of NotImplemented",
    "uuid.UUID": "a unique identifier, one number",
    "zoneinfo.ZoneInfo": "a time zone, by its name",
    "uuid.SafeUUID": "a part of a unique identifier: how it was made",
    "io.BytesIO": "bytes",
    "_io.BytesIO": "bytes",
    "io.StringIO": "text",
    "_io.StringIO": "text",
    "logging.getLogger": "a log, fetched by its name",
    "logging.Logger": "a log, with its name, level and handlers",
    **{
        f"inspect.{name}": "a part of a function's signature"
        for name in ("Signature", "Parameter", "_ParameterKind", "_empty", "BoundArguments")
    },
    **{
        f"joblib.numpy_pickle{suffix}.{name}": "where joblib has written an array"
        for suffix in ("", "_compat")
        for name in ("NumpyArrayWrapper", "NDArrayWrapper", "ZNDArrayWrapper")
    },
    **{
        f"numpy.random._pickle.{name}": "the state of a random generator, as numpy writes it"
        for name in ("__randomstate_ctor", "__generator_ctor", "__bit_generator_ctor")
    },
    **dict.fromkeys(
        (
            *("http.HTTPStatus", "http.HTTPMethod", "signal.Signals", "signal.Handlers"),
            *("socket.AddressFamily", "socket.SocketKind", "ssl.Purpose", "ssl.TLSVersion"),
            *("ssl.VerifyMode", "ssl.VerifyFlags", "ssl.Options"),
        ),
        "one of a list of named numbers (an Enum)",
    ),
    **dict.fromkeys(
        (
            *("threading.Lock", "threading.RLock", "_thread.RLock", "_thread.lock"),
            *("_thread.LockType", "_thread.allocate_lock"),
        ),
        "a lock, with which threads wait for one another",
    ),
    "torch.fx.immutable_collections.immutable_dict": "a dictionary that does not change",
    "torch.fx.immutable_collections.immutable_list": "a list that does not change",
    "platform.uname_result": "the name and version of a machine",
    "sys.version_info": "a version of Python",
    "os.stat_result": "a file's size and dates",
    "subprocess.CompletedProcess": "the record of a program that ran",
    **dict.fromkeys(
        (
            *("subprocess.CalledProcessError", "subprocess.TimeoutExpired"),
            *("subprocess.SubprocessError", "urllib.error.URLError", "urllib.error.HTTPError"),
            *("urllib.error.ContentTooShortError", "socket.timeout", "socket.error"),
            *("socket.gaierror", "socket.herror", "ssl.SSLError", "ssl.SSLCertVerificationError"),
            *("http.client.HTTPException", "http.client.RemoteDisconnected", "shutil.Error"),
            *("http.client.IncompleteRead", "http.client.BadStatusLine", "shutil.SameFileError"),
            *("pickle.PickleError", "pickle.PicklingError", "pickle.UnpicklingError"),
            *("_pickle.PickleError", "_pickle.PicklingError", "_pickle.UnpicklingError"),
            *("zipfile.BadZipFile", "tarfile.TarError", "tarfile.ReadError", "sqlite3.Error"),
            *("sqlite3.OperationalError", "asyncio.exceptions.CancelledError"),
            *("asyncio.exceptions.TimeoutError", "asyncio.exceptions.InvalidStateError"),
            *("multiprocessing.ProcessError", "multiprocessing.context.TimeoutError"),
            *("multiprocessing.context.ProcessError", "smtplib.SMTPException"),
            *("concurrent.futures.process.BrokenProcessPool", "io.UnsupportedOperation"),
            *("concurrent.futures.thread.BrokenThreadPool", "requests.exceptions.HTTPError"),
            *("requests.exceptions.ConnectionError", "requests.exceptions.Timeout"),
        ),
        "an error that was caught and kept",
    ),
    "zipfile.ZipInfo": "an entry of an archive's directory",
    "tarfile.TarInfo": "an entry of an archive's directory",
    **{
        f"{module}.{name}": "an arithmetic operator or a comparison"
        for module in ("operator", "_operator")
        for name in (
            *("add", "sub", "mul", "truediv", "floordiv", "mod", "pow", "matmul", "neg", "pos"),
            *("abs", "invert", "and_", "or_", "xor", "lshift", "rshift", "not_", "truth"),
            *("eq", "ne", "lt", "le", "gt", "ge", "is_", "is_not"),
        )
    },
    "functools.partial": "a class or function with some of its arguments, as whole models keep "
    "those of their layers; which one is listed by itself",
    **{
        f"{module}.{name}": "how a pickle makes an object; its class is listed by itself"
        for module in ("copyreg", "copy_reg")
        for name in ("_reconstructor", "__newobj__", "__newobj_ex__")
    },
    **{
        f"torch.jit._pickle.{name}": "a list of values, as torch.jit.save writes it"
        for name in ("build_intlist", "build_doublelist", "build_boollist", "build_tensorlist")
    },
    "torch.jit._pickle.restore_type_tag": "a typed list or dictionary, as torch.jit.save writes it",
}
"""Names of plain data in modules that also contain dangerous names. Their verdict is inert, not
plain, because scanners that judge by the module report them as dangerous."""

METHODS: Mapping[str, str] = {
    "from_pretrained": "downloads files, and loads others",
    "load_state_dict_from_url": "downloads files, and loads others",
    "download_url": "downloads files",
    "load_from_checkpoint": "loads another file, which can run code",
    "load_library": "loads machine code",
    "load_op_library": "loads machine code",
}
"""Functions that are dangerous in whatever module or class they are, by their own name."""

HARMLESS_MODULES = frozenset(
    {
        "torch.distributed.tensor",
        "torch.distributed._tensor",
        "torch.distributed._shard",
        "torch.distributed.device_mesh",
        "torch.distributed._mesh_layout",
        "torch.distributed._pycute",
        "torch.distributed.checkpoint.metadata",
        "torch.distributed.fsdp",
    }
)
"""Modules of classes that checkpoints contain, inside dangerous modules."""
