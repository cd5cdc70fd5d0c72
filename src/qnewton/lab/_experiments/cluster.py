"""One of several processes that were started together: which one it is, and how it joins the others.

`qnewton train --processes N` starts its processes with the variables below; a cluster starts them with its own. What
reads them imports no jax.
"""

import os
import sys
import time
import traceback
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import NoReturn

from ..._core.extras import MissingExtraError
from .._runfile import LostDirectory
from .exits import BAD_INPUT, FAILED, LOST, exit_status
from .options import TrainOptions

COORDINATOR, PROCESSES, PROCESS = "QNEWTON_COORDINATOR", "QNEWTON_PROCESSES", "QNEWTON_PROCESS"
HEARTBEAT_SECONDS = 30
"""After which a process that says nothing counts as dead, and ends the others."""
# What `jax.distributed` takes for a step of Slurm.
_SLURM = ("SLURM_JOB_ID", "SLURM_STEP_NODELIST", "SLURM_NTASKS", "SLURM_PROCID", "SLURM_LOCALID")
_ITS_WORD_SECONDS = 1
"""In which process 0 says by itself why it failed, and ends first."""


@dataclass(frozen=True)
class Place:
    """Which one of several processes this is.

    Attributes:
        index: from 0.
        count: of all of them.
        coordinator: address and port of process 0; None where jax finds out by itself.
    """

    index: int
    count: int
    coordinator: str | None


def place(environment: Mapping[str, str] = os.environ) -> Place | None:
    """Which one of several processes this is; None of one that was started alone.

    Raises:
        ValueError: for variables of ours that are incomplete or no numbers.
    """
    given = {name: environment[name] for name in (COORDINATOR, PROCESSES, PROCESS) if name in environment}
    if given:
        try:
            found = Place(int(given[PROCESS]), int(given[PROCESSES]), given[COORDINATOR])
        except (KeyError, ValueError) as error:
            raise ValueError(
                f"the variables {COORDINATOR} (address:port), {PROCESSES} and {PROCESS} (from 0) say together which "
                f"process this is, and the environment has {given}"
            ) from error
        if not 0 <= found.index < found.count:
            raise ValueError(f"{PROCESS} is {found.index}, and with {PROCESSES} {found.count} it is one from 0 on")
        return found if found.count > 1 else None
    if all(name in environment for name in _SLURM) and int(environment["SLURM_NTASKS"]) > 1:
        return Place(int(environment["SLURM_PROCID"]), int(environment["SLURM_NTASKS"]), None)
    return None


@contextmanager
def joined() -> Iterator[Place | None]:
    """Join the other processes, where there are any, and end with them.

    At its end a process waits for the others. One that fails does not: they could only wait for it in vain.
    """
    found = place()
    if found is None:
        yield None
        return
    import jax

    try:
        # Python's handlers of SIGTERM are to be called, not those of jax.
        jax.config.update("jax_enable_preemption_service", False)
        jax.config.update("jax_cpu_collectives_implementation", "gloo")
        if found.coordinator is None:
            jax.distributed.initialize(heartbeat_timeout_seconds=HEARTBEAT_SECONDS)
        else:
            jax.distributed.initialize(
                found.coordinator,
                found.count,
                found.index,
                heartbeat_timeout_seconds=HEARTBEAT_SECONDS,
                coordinator_bind_address=found.coordinator if found.coordinator.startswith("127.") else None,
            )
        _connect()
        yield found
    except KeyboardInterrupt as error:
        leave(exit_status(error), "interrupted")
    except SystemExit as exit_:
        leave(exit_.code if isinstance(exit_.code, int) else BAD_INPUT)
    except (ValueError, OSError, MemoryError, MissingExtraError) as error:
        leave(BAD_INPUT, str(error))
    except LostDirectory as error:
        leave(LOST, str(error))
    except jax.errors.JaxRuntimeError as error:  # another process is gone
        leave(FAILED, str(error))
    except BaseException as error:
        if str(error).startswith("process 0 failed at "):
            time.sleep(_ITS_WORD_SECONDS)
        traceback.print_exc()
        leave(FAILED)
    jax.distributed.shutdown()


def _connect() -> None:
    """Let the devices meet once: Gloo says on standard output that they have, which is the run's."""
    from jax.experimental.multihost_utils import sync_global_devices

    sys.stdout.flush()
    output = os.dup(1)
    with open(os.devnull, "w") as nowhere:
        os.dup2(nowhere.fileno(), 1)
    try:
        sync_global_devices("qnewton: joined")
    finally:
        os.dup2(output, 1)
        os.close(output)


def leave(status: int, why: str = "") -> NoReturn:
    """End this process at once, without waiting for the others."""
    if why:
        print(f"qnewton: {why}", file=sys.stderr)
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(status)


def check_processes(options: TrainOptions) -> None:
    """Refuse what several processes cannot do.

    Raises:
        ValueError: with what to change.
    """
    training = options.training
    if training.processes == 1:
        return
    if training.time_solves:
        raise ValueError(
            f"--time-solves is {training.time_solves}, and solves are timed by one process alone: omit it, or "
            "--processes"
        )
