"""Files that are there as a whole or not at all."""
import os
import tempfile


def write_atomically(path: str, data: bytes) -> None:
    """Replace a file; its folder is made.  Whoever reads it meanwhile finds the old or the new one.

    Raises:
        OSError: it cannot be written; the old file stays.
    """
    os.makedirs(os.path.dirname(path) or ".", exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=os.path.dirname(path), suffix=".tmp")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.replace(temporary, path)
    except BaseException:
        os.unlink(temporary)
        raise
