"""The manifests say what the command, the Dockerfile and each other say. What needs a cluster is not tested here."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import yaml
from typer.main import get_command

from cadenza.cli.app import app

ROOT = Path(__file__).parents[1]
FOLDER = ROOT / "deploy" / "kubernetes"
FILES = sorted(FOLDER.glob("*.yaml"))


def objects() -> list[dict[str, Any]]:
    return [one for path in FILES for one in yaml.safe_load_all(path.read_text()) if one is not None]


def the(kind: str, name: str) -> dict[str, Any]:
    (found,) = (one for one in objects() if (one["kind"], one["metadata"]["name"]) == (kind, name))
    return found


def templates() -> dict[str, dict[str, Any]]:
    """Pod templates, by the labels that select them."""
    found = []
    for one in objects():
        spec = one["spec"]
        if one["kind"] == "RayCluster":
            found += [spec["headGroupSpec"]["template"], *(group["template"] for group in spec["workerGroupSpecs"])]
        elif "template" in spec:
            found.append(spec["template"])
            assert spec["selector"]["matchLabels"] == spec["template"]["metadata"]["labels"]
    return {f"{i} {one['metadata']['labels']['app']}": one["spec"] for i, one in enumerate(found)}


def containers() -> list[dict[str, Any]]:
    return [container for spec in templates().values() for container in spec["containers"]]


def kinds_of_kubernetes() -> list[dict[str, Any]]:
    """All objects whose kinds Kubernetes itself knows; of the Ray cluster its pods."""
    found = [one for one in objects() if one["kind"] != "RayCluster"]
    spec = the("RayCluster", "cadenza-engines")["spec"]
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        pod = group["template"]
        labels = pod["metadata"] | {"name": group.get("groupName", "head")}
        found.append({"apiVersion": "v1", "kind": "Pod", "metadata": labels, "spec": pod["spec"]})
    return found


def front_command() -> list[str]:
    """What the front runs, after Ray."""
    (front,) = (one for one in containers() if one["name"] == "front")
    (script,) = front["args"]
    assert "\n" not in script, "one line: the shell takes each line for a command"
    ray, serve = script.split("&& exec ")
    assert shlex.split(ray)[:2] == ["ray", "start"]
    return shlex.split(serve)


def test_every_file_is_read_and_every_object_has_a_name_of_its_own():
    assert len(FILES) == 4
    names = [(one["apiVersion"], one["kind"], one["metadata"]["name"]) for one in objects()]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("version", ["1.28", "1.31", "1.34", "1.37"])
def test_kubernetes_own_schemas_know_every_field(version):
    """Against the published schemas of the API, strictly: nothing is misspelt, misplaced or of the wrong type."""
    schemas = pytest.importorskip("kubernetes_validate", reason="pip install kubernetes-validate (108 MB of schemas)")
    for one in kinds_of_kubernetes():
        schemas.validate(one, version, strict=True)
    wrong = {**the("Service", "cadenza"), "spec": {"selectors": {}}}
    with pytest.raises(schemas.ValidationError):
        schemas.validate(wrong, version, strict=True)


def test_the_ray_cluster_has_the_fields_of_its_operator():
    """KubeRay's `ray.io/v1`; its resource definition is too large to be kept here."""
    spec = the("RayCluster", "cadenza-engines")["spec"]
    assert set(spec) <= {
        "rayVersion", "enableInTreeAutoscaling", "autoscalerOptions", "headGroupSpec", "workerGroupSpecs"
    }  # fmt: skip
    assert set(spec["autoscalerOptions"]) <= {"env", "envFrom", "idleTimeoutSeconds", "image", "resources"}
    for group in spec["workerGroupSpecs"]:
        counts = [group[name] for name in ("minReplicas", "replicas", "maxReplicas")]
        assert counts == sorted(counts)
        assert set(group) == {"groupName", "replicas", "minReplicas", "maxReplicas", "rayStartParams", "template"}
    assert set(spec["headGroupSpec"]) == {"rayStartParams", "template"}
    for group in (spec["headGroupSpec"], *spec["workerGroupSpecs"]):
        assert all(type(value) is str for value in group["rayStartParams"].values()), "words on a command line"


def test_the_front_is_started_with_options_that_there_are():
    program, command, *rest = front_command()
    assert (program, command) == ("cadenza", "serve")
    known = {
        name: option
        for option in get_command(app).commands["serve"].params
        for name in (*option.opts, *option.secondary_opts)
    }
    given: dict[str, str] = {}
    while rest:
        option = rest.pop(0)
        assert option in known, option
        given[option] = "" if known[option].is_flag else rest.pop(0)
    assert "--cluster" in given
    (group,) = the("RayCluster", "cadenza-engines")["spec"]["workerGroupSpecs"]
    assert given["--replica-cpus"] == group["rayStartParams"]["num-cpus"], "a machine holds one copy"
    assert given["--min-replicas"] == str(group["minReplicas"])
    assert given["--max-replicas"] == str(group["maxReplicas"])
    (claim,) = (one for one in objects() if one["kind"] == "PersistentVolumeClaim")
    assert float(given["--quota-gb"]) < float(claim["spec"]["resources"]["requests"]["storage"].removesuffix("Gi"))
    (front,) = (one for one in containers() if one["name"] == "front")
    assert [port["containerPort"] for port in front["ports"]] == [int(given["--port"])]
    mounts = [mount["mountPath"] for mount in front["volumeMounts"]]
    assert given["--directory"] in mounts
    assert str(Path(given["--key-file"]).parent) in mounts


def test_there_is_one_front_and_it_leaves_before_the_next_comes():
    spec = the("Deployment", "cadenza-front")["spec"]
    assert (spec["replicas"], spec["strategy"]) == (1, {"type": "Recreate"})


def test_services_and_policies_point_at_ports_and_pods_that_there_are():
    pods = {name.split()[1]: spec for name, spec in templates().items()}
    for one in objects():
        if one["kind"] == "Service":
            spec = pods[one["spec"]["selector"]["app"]]
            ports = {port["name"] for container in spec["containers"] for port in container.get("ports", ())}
            assert {port["targetPort"] for port in one["spec"]["ports"]} <= ports
        if one["kind"] == "NetworkPolicy":
            ports = {
                port["name"]
                for port in pods[one["spec"]["podSelector"]["matchLabels"]["app"]]["containers"][0].get("ports", ())
            }
            assert {port["port"] for rule in one["spec"]["ingress"] for port in rule.get("ports", ())} <= ports
    text = (FOLDER / "front.yaml").read_text() + (FOLDER / "engines.yaml").read_text()
    hosts = set(re.findall(r"([a-z-]+-svc):(\d+)", text))
    head = the("RayCluster", "cadenza-engines")["spec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert hosts == {("cadenza-engines-head-svc", str(head["ports"][0]["containerPort"]))}


def test_volumes_that_are_mounted_are_there():
    for spec in templates().values():
        there = {volume["name"] for volume in spec.get("volumes", ())} | {
            "data"
        }  # the database's own, from its template
        assert {mount["name"] for one in spec["containers"] for mount in one.get("volumeMounts", ())} <= there


def test_versions_and_the_image_are_those_of_the_repository():
    ray = the("RayCluster", "cadenza-engines")["spec"]["rayVersion"]
    assert f"\nray=={ray}\n" in (ROOT / "constraints.txt").read_text()
    images = {one["image"] for one in containers()} - {"postgres:17"}
    assert images == {"cadenza:cluster"}
    dockerfile = (ROOT / "Dockerfile").read_text()
    assert "docker build -t cadenza:cluster --build-arg EXTRAS=serve,cluster ." in dockerfile
    assert re.search(r'pip install .*"\.\[\$EXTRAS\]"', dockerfile)


@pytest.mark.parametrize("secret", ["cadenza-database", "cadenza-ray", "cadenza-keys"])
def test_secrets_come_from_outside_and_the_page_says_how(secret):
    assert not [one for one in objects() if one["kind"] == "Secret"]
    assert secret in (FOLDER / "front.yaml").read_text()
    page = (ROOT / "docs" / "cluster.md").read_text()
    assert f"kubectl create secret generic {secret} " in page
    for reference in re.findall(rf"name: {secret}, key: (\w+)", "".join(path.read_text() for path in FILES)):
        assert f"--from-literal {reference}=" in page


def test_every_container_of_ours_shows_its_token_and_sends_nothing_home():
    for container in containers():
        if container["image"] == "cadenza:cluster":
            known = {variable["name"]: variable for variable in container["env"]}
            assert known["RAY_AUTH_MODE"]["value"] == "token"
            assert known["RAY_AUTH_TOKEN"]["valueFrom"]["secretKeyRef"] == {"name": "cadenza-ray", "key": "token"}
            assert known["RAY_USAGE_STATS_ENABLED"]["value"] == "0"
    spec = the("RayCluster", "cadenza-engines")["spec"]
    (head,) = spec["headGroupSpec"]["template"]["spec"]["containers"]
    assert spec["enableInTreeAutoscaling"]
    assert spec["autoscalerOptions"]["env"] == head["env"], "what grows the cluster asks the head, as all others do"
