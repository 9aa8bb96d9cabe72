"""The dispatch mode that writes down every ATen call of one run as values, in-place calls and writes to views too."""
import gc
import os
import sys
import weakref
from typing import Any, Dict, List, Mapping, Optional, Sequence, Tuple

import torch
from torch.utils._python_dispatch import TorchDispatchMode

from intra_dp_ros.graph import canonical as names
from intra_dp_ros.graph.build import Builder, CannotFollow, RecordingError
from intra_dp_ros.graph.canonical import bind, canonical, op_name
from intra_dp_ros.graph.graph import Const, GraphError
from intra_dp_ros.graph.registry import ALLOWED, resolve
from intra_dp_ros.graph.replay import FRESH, VIEW, WRITE, CallRecord, Ended, Fill, made_of, plain
from intra_dp_ros.graph.structure import leaves, map_tensors
from intra_dp_ros.graph.views import Group, Step, View, step_of, storage_of

TRAINING = "the model is in training mode: call model.eval()"
DATA_DEPENDENT = "its result's shape (or a Python value) depends on the data of the input"

_LIBRARIES = tuple(os.path.join(os.path.dirname(os.path.abspath(path)), "") for path in (torch.__file__, __file__))


class Recorder(TorchDispatchMode):
    """Writes down every ATen call, as values, until it meets one that it cannot follow.

    Args:
        builder: what it writes to.
        stop: code object of the function that calls the model: no line beyond it is the model's.
        limit: calls that depend on the inputs to write down at most; None: all.
    """

    def __init__(self, builder: Builder, stop: Any, limit: Optional[int] = None) -> None:
        super().__init__()
        self.builder = builder
        self.calls: List[CallRecord] = []  # those that depend on the inputs
        self.error: Optional[RecordingError] = None
        self.end: Optional[CannotFollow] = None
        self.fills: Tuple[Fill, ...] = ()
        self._stop = stop
        self._limit = limit
        self._depth = 0  # of calls that are being written down
        self._views: Dict[int, View] = {}  # by id of the tensor, while it lives
        self._captured: Dict[Tuple[int, int], Const] = {}  # (id of the view, its group's version)
        self._keep: List[View] = []  # captured views, so that their ids stay theirs

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        if self._depth:  # an operator taken apart
            return self._call(func, args, kwargs or {})
        if self.error is not None or self.end is not None:
            raise Ended
        end = None
        self._depth += 1
        try:
            return self._outer_call(func, args, kwargs or {})
        except CannotFollow as error:
            end = error.with_traceback(None)  # its frames hold tensors
        except RecordingError as error:
            self.error = error.with_traceback(None)
        except GraphError as error:
            end = self._failure(op_name(func), str(error))
        finally:
            self._depth -= 1
        if end is not None:
            self._end_before(end)
        raise Ended

    def _outer_call(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        """A call that the model made: those that depend on the inputs are listed."""
        op, given = op_name(func), bind(func, args, kwargs)
        if not any(self._depends(t) for t in leaves(names.reads(op, given))):
            return self._call(func, args, kwargs)
        if len(self.calls) == self._limit:
            raise self._failure(op, "")
        out = self._call(func, args, kwargs)
        made = leaves(out)
        if not made:
            raise self._failure(op, "its result is no tensor")
        if names.is_reshape_in_place(op.split(".")[0]):
            how = VIEW
        elif names.written(func, given):
            how = WRITE
        elif all(any(t is m for t in leaves(given)) or self._source_of(m, given) is not None for m in made):
            how = VIEW
        else:
            how = FRESH
        for position, tensor in enumerate(made):
            view = self._view(tensor)
            view.origin = view.origin or (len(self.calls), position)
            if how != VIEW and view.group.origin is None:
                view.group.origin = (*view.origin, tensor.storage_offset())
                if how == WRITE:
                    view.group.origin = (len(self.calls), position, tensor.storage_offset())
        self.calls.append(CallRecord(op, plain(args, kwargs), how, made_of(out) if how == FRESH else None))
        self.builder.call = len(self.calls)
        return out

    def on_reader(self, name: str, tensor: torch.Tensor) -> None:
        """The model looks at a tensor's values from outside torch."""
        if self._depth or not self._depends(tensor):
            return
        if self.error is None and self.end is None:
            self._end_before(self._failure(name, DATA_DEPENDENT))
        raise Ended

    def end_at_result(self, reason: str) -> None:
        """All calls are written down, but only the model's own code can make its result."""
        self._end_before(CannotFollow("", "", reason))

    def _end_before(self, end: CannotFollow) -> None:
        """What is alive now and depends on the inputs becomes the graph's outputs."""
        self.end = end
        gc.collect()  # what only waits to be freed would be sent for nothing
        alive: Dict[int, Tuple[Group, List[Tuple[torch.Tensor, View]]]] = {}
        for view in list(self._views.values()):
            tensor = view.weak()
            if tensor is not None and view.group.value is not None and view.group.origin is not None:
                alive.setdefault(id(view.group), (view.group, []))[1].append((tensor, view))
        self.fills = tuple(self._output(group, found) for group, found in alive.values())

    def _output(self, group: Group, found: Sequence[Tuple[torch.Tensor, View]]) -> Fill:
        offset, shape, stride = group.geometry
        tensor, view = found[0]
        is_part = len(found) == 1 and view.origin is not None and 0 not in tensor.stride() and (
            view.version == group.version and tensor.numel() < torch.Size(shape).numel())
        if is_part:  # a slice is all that is left of it
            self.builder.add_output(view.value, tuple(tensor.shape), tensor.dtype)
            return Fill(*view.origin, None)
        self.builder.add_output(group.value, shape, group.dtype)
        call, position, start = group.origin
        return Fill(call, position, (offset - start, shape, stride))

    def register(self, tensor: torch.Tensor, group: Group, chain: Tuple[Step, ...] = (), value: Any = None) -> None:
        key = id(tensor)
        view = self._views[key] = View(group, chain, group.value if value is None else value)
        view.weak = weakref.ref(tensor, lambda _: self._views.pop(key, None))

    def read(self, tensor: torch.Tensor) -> Any:
        """The value a tensor has now, as Ref or Const."""
        view = self._view(tensor)
        group = view.group
        if group.value is None:
            key = id(view), group.version
            if key not in self._captured:
                # what was made during the call may still be written to
                self._captured[key] = self.builder.add_constant(
                    tensor if group.is_external else tensor.clone(), None if group.is_external else group.born)
                self._keep.append(view)
            return self._captured[key]
        if view.version != group.version:
            view.value = self._cut(view)[-1]
            view.version = group.version
        return view.value

    def _call(self, func: Any, args: Tuple[Any, ...], kwargs: Dict[str, Any]) -> Any:
        op = op_name(func)
        base = op.split(".")[0].split("::")[-1]
        given = bind(func, args, kwargs)
        depends = any(self._depends(t) for t in leaves(names.reads(op, given)))
        written = names.written(func, given)
        if names.is_training(base, given):
            raise RecordingError(str(self._failure(op, TRAINING)))
        if base in names.IDENTITIES or base in names.DROPOUTS:
            return self._identity(func(*args, **kwargs), next(iter(given.values())), is_fresh=base.startswith("lift"))
        if names.is_reshape_in_place(base):
            return self._reshape_in_place(func, op, given, args, kwargs)
        if not depends:
            return self._independent(func, op, given, written, args, kwargs)
        self._check_static(op, base, given)
        if written:
            return self._write_call(func, op, given, written, args, kwargs)
        out = func(*args, **kwargs)
        spelled, canonical_args = canonical(func, op, given, out)
        if canonical_args is None:
            return self._identity(out, given["self"])
        if spelled not in ALLOWED:
            return self._decomposed(func, op, args, kwargs)
        self._add(spelled, canonical_args, out)
        return out

    def _check_static(self, op: str, base: str, given: Mapping[str, Any]) -> None:
        masks = [t for t in leaves(given.get("indices", ())) if t.dtype in (torch.bool, torch.uint8)]
        if ({base, op} & names.DATA_DEPENDENT or (base == "index" and any(self._depends(t) for t in masks))
                or (base == "one_hot" and given.get("num_classes", -1) < 0)):
            raise self._failure(op, DATA_DEPENDENT)

    def _independent(self, func: Any, op: str, given: Mapping[str, Any], written: Sequence[str], args: Any,
                     kwargs: Any) -> Any:
        for name in written:
            self._refuse_external(op, given[name])
        out = func(*args, **kwargs)
        for name in written:
            self._view(given[name]).group.version += 1
        for made in leaves(out):
            if id(made) in self._views:
                continue
            if op.split(".")[0] in ("empty", "empty_like", "new_empty", "empty_strided", "new_empty_strided"):
                made.zero_()  # else a constant of unset memory would differ from call to call
            source = self._source_of(made, given)
            if source is None:
                self.register(made, Group(None, made, born=self.builder.call))
            else:
                self._register_view(func, op, given, source, made, self._offset(op, given, out, made), None)
        return out

    def _identity(self, out: Any, source: torch.Tensor, is_fresh: bool = False) -> Any:
        """The result is the source's value, in the same memory or copied."""
        made = leaves(out)[0]
        if is_fresh and id(made) not in self._views:  # torch.tensor(...) in the model's code: made during this call
            self.register(made, Group(None, made, born=self.builder.call))
        elif made is not source:
            view = self._view(source)
            value = None if view.group.value is None else self.read(source)
            if _memory(made) == _memory(source):
                self.register(made, view.group, view.chain, value)
            else:
                self.register(made, Group(value, made, born=self.builder.call))
        return out

    def _add(self, op: str, args: Mapping[str, Any], out: Any) -> None:
        """Record one call and its results; views among them keep their tie to what they look at."""
        made = leaves(out)
        values = self.builder.add_node(op, self._encode(op, args), made, self._line())
        for tensor, value in zip(made, values):
            source = self._source_of(tensor, args)
            if source is None:
                self.register(tensor, Group(value, tensor))
            else:
                self._register_view(resolve(op), op, args, source, tensor, self._offset(op, args, out, tensor), value)

    def _register_view(self, func: Any, op: str, args: Mapping[str, Any], source: torch.Tensor, made: torch.Tensor,
                       offset: int, value: Any) -> None:
        view = self._view(source)
        if view.group.value is None:
            op, args = canonical(func, op, dict(args), made) if op.split(".")[0] in ("slice", "narrow") else (op, args)
            if args is None:
                return self.register(made, view.group, view.chain)
        step = step_of(func, op, args, source, made, offset)
        self.register(made, view.group, view.chain + (step,), value)
        return None

    def _reshape_in_place(self, func: Any, op: str, given: Dict[str, Any], args: Any, kwargs: Any) -> Any:
        """The tensor becomes another view of its memory, in which nothing changes."""
        target = given["self"]
        self._refuse_external(op, target)
        base, _, overload = op.partition(".")
        view = self._view(target)
        overload = "int" if base == "transpose_" else overload
        function = getattr(getattr(torch.ops.aten, base[:-1]), overload or "default")
        result = function(*args, **kwargs)
        spelled, new_args = canonical(function, op_name(function), given, result)
        if new_args is not None:
            step = step_of(function, spelled, new_args, target, result, 0)
            if view.group.value is not None:
                view.value, = self.builder.add_node(spelled, self._encode(spelled, new_args), [result], self._line())
                view.version = view.group.version
            view.chain += (step,)
        return func(*args, **kwargs)

    def _write_call(self, func: Any, op: str, given: Dict[str, Any], written: Sequence[str], args: Any,
                    kwargs: Any) -> Any:
        """An in-place call: its functional twin gives the new value, which is then put back into the source."""
        target = given.get("self")
        base, _, overload = op.partition(".")
        if tuple(written) != ("self",):
            raise self._failure(op, "writes to {}: use the functional form".format(", ".join(written)))
        self._refuse_external(op, target)
        if base in ("copy_", "fill_", "zero_"):
            value = self._overwrite(given, target)
        else:
            twin = base[:-1] if base.endswith("_") and not base.endswith("__") else base.replace("__i", "__", 1)
            function = getattr(getattr(torch.ops.aten, twin, None), overload or "default", None)
            spelled, new_args = (twin, None) if function is None else canonical(
                function, twin + ("." + overload if overload else ""), given, target)
            if new_args is None or spelled not in ALLOWED:
                raise self._failure(op, "this in-place operator has no recordable functional form: rewrite the line")
            result = function(*args, **kwargs)
            value, = self.builder.add_node(spelled, self._encode(spelled, new_args), [result], self._line())
            if result.dtype != target.dtype:
                value, = self.builder.add_node("to.dtype", self._encode("to.dtype", {
                    "self": value, "dtype": target.dtype}), [target], self._line())
        self._put(op, target, value)
        return func(*args, **kwargs)

    def _overwrite(self, given: Mapping[str, Any], target: torch.Tensor) -> Any:
        """The value of `target` after copy_, fill_ or zero_: its old value does not matter."""
        source = given.get("src", given.get("value", 0))
        if not isinstance(source, torch.Tensor) or not self._depends(source):
            values = source if isinstance(source, torch.Tensor) else torch.as_tensor(source, dtype=target.dtype)
            return self.builder.add_constant(torch.zeros_like(target).copy_(values).contiguous())
        value = self.read(source)
        if source.dtype != target.dtype:
            value, = self.builder.add_node("to.dtype", self._encode("to.dtype", {
                "self": value, "dtype": target.dtype}), [source.to(target.dtype)], self._line())
        if source.shape != target.shape:
            value, = self.builder.add_node("expand", self._encode("expand", {
                "self": value, "size": tuple(target.shape)}), [target], self._line())
        return value

    def _put(self, op: str, target: torch.Tensor, value: Any) -> None:
        """Make `value` the value of `target`, and so of the part of its source that it looks at."""
        view = self._view(target)
        group = view.group
        if not all(step.back_op for step in view.chain):
            raise self._failure(op, "writes through a view that cannot be followed: write to a copy (.clone()) instead")
        if group.value is None:  # a constant so far (torch.zeros(...)): its old values count where nothing is written
            group.value = self.builder.add_constant(group.snapshot(), group.born)
            group.release()
        parts = self._cut(view)
        new = value
        for step, part in zip(reversed(view.chain), reversed(parts[:-1])):
            node_args = {"self": part, "src": new, **step.back_args} if step.is_scatter else {
                "self": new, **step.back_args}
            new = self.builder.add_described(step.back_op, self._encode(step.back_op, node_args), step.source_shape,
                                             group.dtype, self._line())
        group.value = new
        group.version += 1
        view.value, view.version = value, group.version

    def _cut(self, view: View) -> List[Any]:
        """The values along a view's chain: of the source, of the first view of it, ..., of the view itself."""
        values = [view.group.value]
        for step in view.chain:
            if not step.op:
                raise self._failure("a view", "its source was written to and the view cannot be made again: "
                                    "copy it (.clone()) first")
            values.append(self.builder.add_described(step.op, self._encode(step.op, {
                "self": values[-1], **step.args}), step.shape, view.group.dtype, self._line()))
        return values

    def _decomposed(self, func: Any, op: str, args: Any, kwargs: Any) -> Any:
        """An operator outside the registry may be made of operators inside it."""
        with self:
            out = func.decompose(*args, **kwargs) if hasattr(func, "decompose") else NotImplemented
        if out is NotImplemented:
            raise self._failure(op, "is not in the operator registry")
        return out

    def _encode(self, op: str, args: Mapping[str, Any]) -> Dict[str, Any]:
        return self.builder.encode(op, map_tensors(dict(args), self.read))

    def _view(self, tensor: torch.Tensor) -> View:
        if id(tensor) not in self._views:  # never seen being made: the model keeps it
            self.register(tensor, Group(None, tensor, is_external=True))
            self.builder.keep(tensor)
        return self._views[id(tensor)]

    def _depends(self, tensor: torch.Tensor) -> bool:
        view = self._views.get(id(tensor))
        return view is not None and view.group.value is not None

    def _source_of(self, made: torch.Tensor, given: Mapping[str, Any]) -> Optional[torch.Tensor]:
        if made.numel() == 0:
            return None
        return next((t for t in leaves(dict(given)) if t is not made and _memory(t) == _memory(made)), None)

    @staticmethod
    def _offset(op: str, args: Mapping[str, Any], out: Any, made: torch.Tensor) -> int:
        """Where `made` begins among the parts of split, chunk (in elements of the axis) or unbind (in parts)."""
        if isinstance(out, torch.Tensor):
            return 0
        index = next(i for i, o in enumerate(out) if o is made)
        return index if op.startswith("unbind") else sum(o.shape[args.get("dim", 0)] for o in out[:index])

    def _refuse_external(self, op: str, tensor: torch.Tensor) -> None:
        if self._view(tensor).group.is_external:
            name = self.builder.name_of(tensor)
            if name.endswith("num_batches_tracked"):  # a batch norm's, before it normalises
                raise RecordingError(str(self._failure(op, TRAINING)))
            raise self._failure(op, "the model changes {}, which it keeps between calls (in training mode? call "
                                "model.eval())".format(name or "a tensor"))

    def _failure(self, op: str, text: str) -> CannotFollow:
        return CannotFollow(op, self._line() or "the model's result", text)

    def _line(self) -> str:
        """The innermost line of the model's own code that led here (torchvision's, or torch's, when there is none)."""
        vision = getattr(sys.modules.get("torchvision"), "__file__", None)
        vision = os.path.join(os.path.dirname(vision), "") if vision else None
        frame, best, rank = sys._getframe(1), "", 3
        while frame is not None and frame.f_code is not self._stop:
            path = frame.f_code.co_filename
            if not path.startswith(_LIBRARIES[1]) and not path.endswith("_python_dispatch.py"):
                found = 2 if path.startswith(_LIBRARIES[0]) else 1 if vision and path.startswith(vision) else 0
                if found < rank:
                    best, rank = "{}:{}".format(os.path.basename(path), frame.f_lineno), found
            frame = frame.f_back
        return best


def _memory(tensor: torch.Tensor) -> Any:
    """Identifies a tensor's memory while it lives."""
    return tensor.device, storage_of(tensor).data_ptr()
