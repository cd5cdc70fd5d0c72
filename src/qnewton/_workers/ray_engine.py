"""Workers on Ray: one actor for each, replaced where it dies."""

import contextlib
import logging
import os
import pickle
import time
import warnings
from collections.abc import Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._hardware import ClassicalMachine
from .._scheduling.sent import Program
from .._solvers import AbstractSolver
from .engine import AbstractEngine, Colleague, Lost, Reply
from .host import THREADS, Host, apart, versions
from .joining import NAMESPACE, QPU, START_S, check_address, ray_module, refused

_STORE_BYTES = 2**31
_LEAST_STORE = 80 * 2**20
# Ray sends arguments of up to 100 kB with the call.
_INLINE_BYTES = 64 * 2**10
_LINK_BYTES = 4 * 2**20
_LINK_REPEATS = 5


@dataclass(frozen=True)
class Cluster:
    """Ray cluster on which workers run.

    Attributes:
        address: of a running cluster, `host:port`; None: a local one is started, and stopped at the end.
        cpus: workers with a CPU each; None: as many as there are.
        gpus: workers with a GPU each.
        qpus: quantum workers that this driver starts, each as this service describes it.
        store_bytes: of the object store of a local cluster; None: a tenth of the free memory, at most 2 GiB.
    """

    address: str | None = None
    cpus: int | None = None
    gpus: int = 0
    qpus: tuple[Any, ...] = ()
    store_bytes: int | None = None


@dataclass(eq=False)
class _Member:
    """A worker of the engine's.

    Attributes:
        name: of the worker.
        kind: `cpu`, `gpu` or `qpu`.
        make: starts its actor anew; None of one that others started.
        actor: of Ray.
        hello: what it says of itself, once it is there.
        colleague: once it is there.
        known: keys of the programs that it has learned.
        link: seconds of a small system there and back, and of a byte more; None until it was met once.
    """

    name: str
    kind: str
    make: Any
    actor: Any
    hello: Any
    colleague: Colleague | None = None
    known: set[str] = field(default_factory=set)
    link: tuple[float, float] | None = None


class RayEngine(AbstractEngine):
    """Actors of Ray.

    A local Ray is bound to 127.0.0.1, has no dashboard unless it is asked for one, and ends with `close`.
    """

    def __init__(self, cluster: Cluster, dtype: str = "float32"):
        """Start or join Ray, start workers, and wait until they are there.

        Raises:
            MissingExtraError: without Ray.
            ValueError: for an address where no cluster is, a token that it does not take, other versions than here, or
                nobody who works.
        """
        self._ray = ray_module(local=cluster.address is None)
        self._dtype = dtype
        self._joined = False
        self._members: list[_Member] = []
        self._owners: dict[Hashable, _Member] = {}
        self._own_probe: float | None = None
        try:
            self._join(cluster)
            self._hire(cluster)
            self._meet()
        except BaseException:
            self.close()
            raise

    def _join(self, cluster: Cluster) -> None:
        ray = self._ray
        if ray.is_initialized():
            raise ValueError(
                "this process is connected to Ray already: call ray.shutdown() first, or share one Workers"
            )
        quiet = {"log_to_driver": False, "logging_level": logging.ERROR, "namespace": NAMESPACE}
        if cluster.address is None:
            resources = {QPU: len(cluster.qpus)} if cluster.qpus else None
            with warnings.catch_warnings():
                # Ray's processes begin by exec, which needs none of the locks that a fork may find taken.
                warnings.filterwarnings("ignore", "os.fork", RuntimeWarning)
                try:
                    ray.init(
                        address="local",
                        num_cpus=cluster.cpus,
                        num_gpus=cluster.gpus or None,
                        resources=resources,
                        object_store_memory=cluster.store_bytes or _store_bytes(),
                        include_dashboard=False,
                        _node_ip_address="127.0.0.1",
                        **quiet,
                    )
                except Exception as error:
                    ray.shutdown()
                    raise ValueError(
                        f"Ray does not start here ({str(error).strip().splitlines()[0]}): the machine is very busy or "
                        "short of memory. Try again, or leave out the workers"
                    ) from error
        else:
            check_address(cluster.address)
            try:
                ray.init(address=cluster.address, **quiet)
            except Exception as error:
                raise ValueError(refused(cluster.address, error)) from error
        self._joined = True

    def _hire(self, cluster: Cluster) -> None:
        """Start the workers of this driver, and find those that `qnewton worker` started."""
        ray = self._ray
        offered = ray.cluster_resources()
        cpus = int(offered.get("CPU", 0)) if cluster.cpus is None else cluster.cpus
        for kind, count in (("cpu", cpus), ("gpu", cluster.gpus)):
            for k in range(count):
                self._start(f"{kind} {k}", kind, Host, ())
        for k, service in enumerate(cluster.qpus):
            from .quantum_host import QuantumHost

            self._start(f"qpu {k}", "qpu", QuantumHost, (service,))
        self._find()
        if not self._members:
            raise ValueError(
                f"the cluster has no workers: it offers {offered.get('CPU', 0):g} CPUs, "
                f"{offered.get('GPU', 0):g} GPUs "
                f"and {offered.get(QPU, 0):g} {QPU}. Start Ray with some, or ask for fewer workers"
            )

    def _start(self, name: str, kind: str, what: type, given: tuple) -> None:
        options: dict[str, Any] = {"num_cpus": 1 if kind == "cpu" else 0, "max_restarts": 0}
        # Of the driver's flags too: a worker compiles as the driver would.
        flags = f"{os.environ.get('XLA_FLAGS', '')} {THREADS['XLA_FLAGS']}".strip()
        environment = THREADS | {"XLA_FLAGS": flags}
        if kind == "gpu":
            options["num_gpus"] = 1
        else:
            environment["JAX_PLATFORMS"] = "cpu"
        if kind == "qpu":
            options["resources"] = {QPU: 1}
        options["runtime_env"] = {"env_vars": environment}
        remote = self._ray.remote(what)

        def make() -> Any:
            return remote.options(**options).remote(*given)

        actor = make()
        self._members.append(_Member(name, kind, make, actor, actor.hello.remote(self._dtype)))

    def _find(self) -> None:
        """Take up workers that others have started, by the names of their actors."""
        known = {member.name for member in self._members}
        for entry in self._ray.util.list_named_actors(all_namespaces=True):
            name = entry["name"]
            if entry["namespace"] != NAMESPACE or not name.startswith(f"{QPU} at ") or name in known:
                continue
            with contextlib.suppress(ValueError):
                actor = self._ray.get_actor(name, NAMESPACE)
                self._members.append(_Member(name, "qpu", None, actor, actor.hello.remote(self._dtype)))

    def _meet(self) -> None:
        """Wait until everybody is there."""
        hellos = [member.hello for member in self._members]
        done, late = self._ray.wait(hellos, num_returns=len(hellos), timeout=START_S)
        if late and not done:
            names = ", ".join(member.name for member in self._members if member.hello in late)
            raise ValueError(
                f"no worker is there after {START_S:g} s ({names}): the cluster has no room for them, or other work "
                "has it. Ask for fewer, or start more nodes"
            )
        for member in self._members:
            self._look_after(member, at_start=True)

    def _look_after(self, member: _Member, *, at_start: bool = False) -> None:
        """Take note of a worker that has come."""
        if member.colleague is not None:
            return
        done, _ = self._ray.wait([member.hello], timeout=0)
        if not done:
            return
        try:
            said = self._ray.get(member.hello)
        except self._ray.exceptions.RayTaskError as error:
            if at_start:
                raise ValueError(f"the worker {member.name} cannot work: {error.cause}") from error
            return
        except self._ray.exceptions.RayError as error:
            if at_start:
                raise ValueError(f"the worker {member.name} did not start: {error}") from error
            self._again(member)
            return
        wrong = apart(member.name, versions(), said["versions"])
        if wrong and at_start:
            raise ValueError(wrong)
        if wrong:
            return
        if member.link is None:
            member.link = self._link(member) if at_start else (0.0, 0.0)
        latency, per_byte = member.link
        slowness = 1.0 if member.kind == "qpu" else said["probe_s"] / self._probe()
        member.colleague = Colleague(
            name=member.name,
            quantum=member.kind == "qpu",
            where=f"{said['node']}, process {said['pid']}",
            slowness=slowness,
            wait_s=said.get("wait_s", 0.0),
            transfer_s=said.get("transfer_s", 0.0) + latency,
            probe_s=said["probe_s"],
            seconds_per_byte=per_byte,
        )

    def _link(self, member: _Member) -> tuple[float, float]:
        """Time systems on their way there: of next to nothing, and of 4 MiB."""

        def seconds(nbytes: int) -> float:
            taken, array = [], np.ones(nbytes, np.uint8)
            for _ in range(_LINK_REPEATS):
                begun = time.perf_counter()
                self._ray.get(member.actor.reached.remote(self.put([array])))
                taken.append(time.perf_counter() - begun)
            # The least, since whatever else runs can only add.
            return min(taken)

        small, large = seconds(1), seconds(_LINK_BYTES)
        return small, max(0.0, large - small) / _LINK_BYTES

    def _probe(self) -> float:
        if self._own_probe is None:
            from .._hardware.measure import gemm_probe, median_seconds

            self._own_probe = median_seconds(gemm_probe(self._dtype), 15, 0.1)
        return self._own_probe

    def _again(self, member: _Member) -> None:
        """Start a worker anew that is gone; one of somebody else's is looked for by its name."""
        member.colleague, member.known = None, set()
        self._owners = {handle: one for handle, one in self._owners.items() if one is not member}
        if member.make is not None:
            member.actor = member.make()
            member.hello = member.actor.hello.remote(self._dtype)
        elif member in self._members:
            self._members.remove(member)

    def present(self) -> tuple[Colleague, ...]:
        """Return the workers that are present."""
        for member in list(self._members):
            self._look_after(member)
        return tuple(member.colleague for member in self._members if member.colleague is not None)

    def calibrate(
        self, solvers: Sequence[AbstractSolver], dtype: str, sizes: Sequence[int] | None
    ) -> dict[str, ClassicalMachine]:
        """Ask all at once.

        Raises:
            OSError: if a worker's machine is too busy to be measured.
        """
        packed = pickle.dumps(tuple(solvers))
        asked = {
            one.name: one.actor.calibrate.remote(packed, dtype, None if sizes is None else list(sizes))
            for one in self._members
            if one.kind != "qpu" and one.colleague is not None
        }
        try:
            return {name: self._ray.get(answer) for name, answer in asked.items()}
        except self._ray.exceptions.RayTaskError as error:
            raise OSError(f"a worker was not calibrated: {error.cause}") from error

    def put(self, arrays: Sequence[np.ndarray]) -> Any:
        """Put arrays into the object store; few bytes travel with the call."""
        small = sum(array.nbytes for array in arrays) < _INLINE_BYTES
        return list(arrays) if small else self._ray.put(list(arrays))

    def send(self, worker: str, program: Program, place: int, arrays: Any) -> Hashable:
        """Call a worker's actor."""
        member = next(one for one in self._members if one.name == worker)
        try:
            if program.key not in member.known:
                member.actor.learn.remote(program.key, program.packed)
                member.known.add(program.key)
            handle = member.actor.solve.remote(program.key, place, arrays)
        except self._ray.exceptions.RayError as error:
            self._again(member)
            raise Lost(worker) from error
        self._owners[handle] = member
        return handle

    def ready(self, handles: Sequence[Hashable], timeout_s: float) -> list[Hashable]:
        """Wait for one of the calls, and return all that are over."""
        if not handles:
            time.sleep(timeout_s)
            return []
        done, rest = self._ray.wait(list(handles), num_returns=1, timeout=timeout_s)
        if done and rest:
            more, _ = self._ray.wait(rest, num_returns=len(rest), timeout=0)
            done += more
        return [handle for handle in handles if handle in set(done)]

    def get(self, handle: Hashable) -> Reply:
        """Return a reply."""
        member = self._owners.pop(handle, None)
        if member is None:
            raise Lost("a worker that was replaced")
        try:
            return Reply(*self._ray.get(handle))
        except self._ray.exceptions.RayTaskError as error:
            # It is there, and answers with an error: no solution.
            logging.getLogger(__name__).warning("worker %s: %s", member.name, error)
            now = time.time()
            return Reply(np.full(0, np.nan), 0, 0.0, 1.0, 0, now, now)
        except self._ray.exceptions.RayError as error:
            if member.colleague is not None:
                self._again(member)
            raise Lost(member.name) from error

    def close(self) -> None:
        """End the actors of this driver, and Ray where it was started for them."""
        if not self._joined:
            return
        for member in self._members:
            if member.make is not None:
                with contextlib.suppress(Exception):
                    self._ray.kill(member.actor)
        self._members, self._owners, self._joined = [], {}, False
        self._ray.shutdown()

    @property
    def processes(self) -> dict[str, int]:
        """Worker to the number of its process."""
        return {one.name: int(one.where.rpartition(" ")[2]) for one in self.present()}


def _store_bytes() -> int:
    import psutil

    return max(_LEAST_STORE, min(_STORE_BYTES, psutil.virtual_memory().available // 10))
