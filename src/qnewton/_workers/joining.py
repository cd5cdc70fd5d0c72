"""How processes come to a Ray cluster, and what is said of one that they cannot join; the node of a quantum worker."""

import contextlib
import json
import logging
import os
import socket
import subprocess
import sys
from collections.abc import Iterator
from types import ModuleType
from typing import Any

from .._core.extras import optional
from .host import THREADS

NAMESPACE = "qnewton"
QPU = "qpu"
"""The custom resource of nodes with a quantum worker."""
_REACH_S = 5.0
START_S = 120.0
"""Seconds after which a worker that is not there is given up."""


def ray_module(*, local: bool = False) -> ModuleType:
    """Return Ray, which does not report its use.

    Args:
        local: for a cluster of this machine alone.

    Raises:
        MissingExtraError: if it is not installed.
    """
    os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    if local:
        # Ray would give workers the niceness 15: beside other work they would hardly run.
        os.environ.setdefault("RAY_worker_niceness", "0")
        # Read when Ray is imported: a node that no other machine is to reach has the address 127.0.0.1.
        os.environ["RAY_ENABLE_WINDOWS_OR_OSX_CLUSTER"] = "0"
    return optional("ray", "cluster", "workers need ray")


def check_address(address: str) -> None:
    """Refuse an address that is none, or where nobody listens.

    Raises:
        ValueError: with what to do.
    """
    host, colon, port = address.rpartition(":")
    if address != "auto" and not (host and colon and port.isdigit()):
        raise ValueError(
            f"the address of the cluster is {address!r}: it is HOST:PORT of Ray's head node, e.g. 10.0.0.1:6379, which "
            "`ray start --head` prints; without an address a local Ray is started"
        )
    if address != "auto":
        try:
            # Ray itself would try again for minutes.
            socket.create_connection((host, int(port)), timeout=_REACH_S).close()
        except OSError as error:
            raise ValueError(refused(address, error)) from error


def refused(address: str, error: Exception) -> str:
    """Return what to do about a cluster that cannot be joined."""
    said = str(error).strip().splitlines()
    first = said[0] if said else type(error).__name__
    text = " ".join(said).lower()
    if "token" in text or "auth" in type(error).__name__.lower() or "unauthenticated" in text:
        return (
            f"the cluster at {address} does not take the token of this process ({first}): set RAY_AUTH_MODE=token and "
            "RAY_AUTH_TOKEN to the cluster's token, which `ray get-auth-token` prints on its head node"
        )
    if "version mismatch" in text or "different versions" in text:
        return f"the cluster at {address} runs other versions than this driver: {' '.join(said)}"
    if not isinstance(error, OSError) or "connect to ray cluster" in text:
        # Something listens there, and Ray does not say why it was not let in.
        return (
            f"{address} does not let this process in ({first}): if a cluster runs there, its token is another one, for "
            "which set RAY_AUTH_MODE=token and RAY_AUTH_TOKEN to what `ray get-auth-token` prints on its head node, or "
            "its Ray is of another version"
        )
    return (
        f"no Ray cluster answers at {address} ({first}): start one there with `ray start --head`, or leave the address "
        "out for a local one"
    )


@contextlib.contextmanager
def serve(address: str, name: str, service: Any) -> Iterator[str]:
    """Have a quantum worker in a running cluster, on this machine, inside of the block.

    Args:
        address: of the cluster.
        name: of the worker's machine.
        service: a `QuantumService`.

    Yields:
        The worker's name.

    Raises:
        MissingExtraError: without Ray, or without what the service needs.
        ValueError: for a cluster that cannot be joined.
    """
    from .quantum_host import QuantumHost

    ray = ray_module()
    if service.device is not None:
        optional("pennylane", "circuits", f"a worker with the device {service.device} needs PennyLane")
    join = [sys.executable, "-m", "ray.scripts.scripts", "start", "--address", address, "--num-cpus", "0"]
    resource = f"{QPU} {os.getpid()}"
    join += ["--num-gpus", "0", "--resources", json.dumps({QPU: 1, resource: 1}), "--block"]
    node = subprocess.Popen(join, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    try:
        try:
            ray.init(address=address, log_to_driver=False, logging_level=logging.ERROR, namespace=NAMESPACE)
        except Exception as error:
            raise ValueError(refused(address, error)) from error
        called = f"{QPU} at {name}, process {os.getpid()}"
        environment = {"env_vars": THREADS | {"JAX_PLATFORMS": "cpu"}}
        options = {"num_cpus": 0, "resources": {QPU: 1, resource: 1}, "max_restarts": -1, "name": called}
        actor = ray.remote(QuantumHost).options(**options, runtime_env=environment).remote(service)
        try:
            ray.get(actor.hello.remote(), timeout=START_S)
        except ray.exceptions.GetTimeoutError as error:
            out = "" if node.poll() is None or node.stdout is None else node.stdout.read().strip()
            raise ValueError(f"the node of the worker did not join {address} in {START_S:g} s {out}".strip()) from error
        yield called
        ray.kill(actor)
    finally:
        ray.shutdown()
        node.terminate()
        node.wait(timeout=30)
