"""Multi-Band Diffusion's own files: read without OmegaConf, refused where they are hostile or of another kind."""

import os
import shutil
import sys
import types
from pathlib import Path
from typing import Any

import pytest
import torch

from cadenza import CheckpointError, UserError, load_diffusion
from cadenza.checkpoint import on_meta
from cadenza.convert import multiband_diffusion
from cadenza.convert.audiocraft_codec import read_codec
from cadenza.convert.formats import identify
from cadenza.convert.multiband_diffusion import is_checkpoint, names_of, read_decoder
from cadenza.convert.official import DECODERS
from cadenza.convert.settings import Settings
from cadenza.convert.unpickle import OMEGACONF, plain_settings, read_pickle
from cadenza.diffusion.band import Band
from cadenza.testing import tiny_codec

PARITY = Path(__file__).parent.parent / "parity"
FILE = PARITY / "multiband_diffusion_tiny" / "mbd_tiny_32khz.th"
CODEC = PARITY / "encodec_32khz_tiny" / "compression_state_dict.bin"


# ---- OmegaConf's objects, as pickle writes them ----------------------------------------------------------------------


@pytest.fixture
def omegaconf(monkeypatch):
    """Classes of OmegaConf's names and state, so that files can be written without it."""
    made: dict[str, type] = {}
    for full in OMEGACONF:
        module, _, name = full.rpartition(".")
        if module.startswith("omegaconf"):
            made[name] = type(name, (), {"__module__": module})
            if module not in sys.modules:
                monkeypatch.setitem(sys.modules, module, types.ModuleType(module))
            setattr(sys.modules[module], name, made[name])
    monkeypatch.setitem(sys.modules, "omegaconf", types.ModuleType("omegaconf"))

    def build(value: Any, parent: Any = None) -> Any:
        kind = {dict: "DictConfig", list: "ListConfig"}.get(type(value), "AnyNode")
        node = made[kind]()
        metadata = made["ContainerMetadata" if kind.endswith("Config") else "Metadata"]()
        metadata.__dict__ = {"ref_type": Any, "object_type": type(value), "optional": True, "key": None, "flags": {}}
        if isinstance(value, dict):
            content: Any = {"_content": {key: build(part, node) for key, part in value.items()}}
        elif isinstance(value, list):
            content = {"_content": [build(part, node) for part in value]}
        else:
            content = {"_val": value}
        node.__dict__ = {"_metadata": metadata, "_parent": parent, **content}
        return node

    return build


def official_settings(sample_rate: int, network: dict[str, Any], band: int = 0) -> dict[str, Any]:
    """Section 2, 3 and 6.1 of the published configuration, references and all."""
    return {
        "solver": "diffusion",
        "sample_rate": sample_rate,
        "channels": 1,
        "device": "${oc.env:DEVICE}",
        "dora": {"dir": "/checkpoint/${oc.env:USER}/experiments"},
        "compression_model_checkpoint": "???",
        "schedule": {
            "repartition": "power",
            "variable_step_batch": True,
            "beta_t0": 1e-5,
            "beta_t1": 2.9e-2,
            "beta_exp": 7.5,
            "num_steps": 1000,
            "variance": "beta",
            "clip": 5.0,
            "rescale": 1.0,
            "n_bands": None,
            "noise_scale": 1.0,
        },
        "processor": {
            "use": band > 1,
            "name": "multi_band_processor",
            "num_samples": 10000,
            "power_std": {2: 0.4, 3: 0.75}.get(band, 1.0),
            "n_bands": 8,
        },
        "filter": {"use": True, "n_bands": 4, "idx_band": band, "cutoffs": [847.0, 2719.1]},
        "diffusion_unet": {
            "hidden": 48,
            "depth": 4,
            "res_blocks": 1,
            "norm_groups": 4,
            "kernel": 8,
            "stride": 4,
            "growth": 4,
            "max_channels": 10_000,
            "dropout": 0.0,
            "emb_all_layers": True,
            "bilstm": False,
            "transformer": False,
            "cross_attention": False,
            "codec_dim": None,
            **network,
        },
    }


def published_names(network: dict[str, Any], widths: list[int]) -> dict[str, tuple[int, ...]]:
    """Names and shapes of a band's `model_state` as the reference lists them (section 2)."""
    shapes: dict[str, tuple[int, ...]] = {}

    def block(name: str, width: int) -> None:
        for part in ("norm1", "norm2"):
            shapes.update({f"{name}.{part}.weight": (width,), f"{name}.{part}.bias": (width,)})
        for part in ("conv1", "conv2"):
            shapes.update({f"{name}.{part}.weight": (width, width, 3), f"{name}.{part}.bias": (width,)})

    depth, deepest = len(widths), widths[-1]
    outer = [1, *widths[:-1]]
    for level in range(depth):
        mirrored = depth - 1 - level
        shapes[f"encoders.{level}.conv.weight"] = (widths[level], outer[level], 8)
        shapes[f"decoders.{level}.convtr.weight"] = (widths[mirrored], outer[mirrored], 8)
        for side, width in (("encoders", widths[level]), ("decoders", widths[mirrored])):
            shapes.update({f"{side}.{level}.norm.weight": (width,), f"{side}.{level}.norm.bias": (width,)})
            block(f"{side}.{level}.res_blocks.0", width)
    shapes["embedding.weight"] = (1000, widths[0])
    shapes |= {f"embeddings.{level - 1}.weight": (1000, widths[level]) for level in range(1, depth)}
    if network.get("codec_dim"):
        shapes |= {"conv_codec.weight": (deepest, network["codec_dim"], 1), "conv_codec.bias": (deepest,)}
    if network.get("bilstm"):
        for layer in (0, 1):
            for end in ("", "_reverse"):
                shapes[f"bilstm.lstm.weight_ih_l{layer}{end}"] = (4 * deepest, deepest * (1 + layer))
                shapes[f"bilstm.lstm.weight_hh_l{layer}{end}"] = (4 * deepest, deepest)
                shapes |= {f"bilstm.lstm.bias_{kind}_l{layer}{end}": (4 * deepest,) for kind in ("ih", "hh")}
        shapes |= {"bilstm.linear.weight": (deepest, 2 * deepest), "bilstm.linear.bias": (deepest,)}
    if network.get("transformer"):
        crossed = network.get("cross_attention")
        for layer in (f"transformer.layers.{i}" for i in range(6)):
            for attention in ("self_attn", *(["cross_attention"] if crossed else [])):
                shapes[f"{layer}.{attention}.mha.in_proj_weight"] = (3 * deepest, deepest)
                shapes[f"{layer}.{attention}.mha.out_proj.weight"] = (deepest, deepest)
            shapes |= {f"{layer}.linear1.weight": (2048, deepest), f"{layer}.linear2.weight": (deepest, 2048)}
            for norm in ("norm1", "norm2", *(["norm_cross"] if crossed else [])):
                shapes |= {f"{layer}.{norm}.weight": (deepest,), f"{layer}.{norm}.bias": (deepest,)}
    return shapes


NETWORKS = {
    "bare": {},
    "condition": {"codec_dim": 128},
    "lstm": {"codec_dim": 128, "bilstm": True},
    "transformer": {"codec_dim": 128, "transformer": True},
    "cross-attention": {"codec_dim": 128, "transformer": True, "cross_attention": True},
}


@pytest.mark.parametrize(
    ("kind", "millions"),
    [("bare", 165.2), ("transformer", 467.7), ("lstm", 562.1), ("condition", None), ("cross-attention", None)],
)
def test_every_tensor_of_the_published_layouts(kind, millions):
    """At the full size, on the meta device; the numbers of parameters are those that the original was seen to have."""
    settings = Settings(official_settings(32000, NETWORKS[kind], band=3), "file")
    config = multiband_diffusion._band_config(settings, 32000, "file")
    with on_meta():
        band = Band(config)
    expected = {f"unet.{name}": shape for name, shape in published_names(NETWORKS[kind], [48, 192, 768, 3072]).items()}
    expected |= {f"processor.{name}": (8,) for name in ("sum_x", "sum_x2", "sum_target_x2")} | {
        "processor.counts": (1,)
    }
    state = band.state_dict()
    assert {foreign: tuple(state[name].shape) for name, (foreign,) in names_of(band).items()} == expected
    if millions is not None:
        parameters = sum(part.numel() for part in band.unet.parameters())
        assert parameters / 1e6 == pytest.approx(millions, abs=0.05)


def small_file(path: Path, omegaconf: Any, kind: str, sample_rate: int, latent: int, bands: int = 4) -> dict[str, Any]:
    """A file in the published layout with few channels; returns its settings."""
    content: dict[Any, Any] = {"sample_rate": sample_rate, "n_bands": bands}
    network = NETWORKS[kind] | {"hidden": 4, "growth": 2} | ({"codec_dim": latent} if kind != "bare" else {})
    generator = torch.Generator().manual_seed(0)
    for number in range(bands):
        settings = official_settings(sample_rate, network, number)
        shapes = published_names(network, [4, 8, 16, 32])
        state = {name: torch.randn(shape, generator=generator) * 0.1 for name, shape in shapes.items()}
        part = {"cfg": omegaconf(settings), "model_state": state, "processor_state": {}}
        if number > 1:
            levels = {name: torch.rand(8, generator=generator) + 1 for name in ("sum_x2", "sum_target_x2")}
            part["processor_state"] = {"counts": torch.ones(1), "sum_x": torch.zeros(8), **levels}
        content[number] = part
    torch.save(content, path)
    return content


@pytest.mark.parametrize("kind", list(NETWORKS))
def test_small_twins_decode(tmp_path, omegaconf, kind):
    """Every variant, written as OmegaConf and torch write it, read without either's classes, saved and played."""
    codec = tiny_codec()
    content = small_file(tmp_path / "twin.th", omegaconf, kind, 32000, codec.config.latent_dim)
    decoder = read_decoder(tmp_path / "twin.th", codec, "twin", "free")
    for number, band in enumerate(decoder.bands):
        state = band.state_dict()
        for name, (foreign,) in names_of(band).items():
            owner, _, rest = foreign.partition(".")
            stored = content[number]["model_state" if owner == "unet" else "processor_state"][rest]
            assert torch.equal(state[name], stored), name
    assert [band.config.processor and band.config.processor.power for band in decoder.bands] == [None, None, 0.4, 0.75]
    made = decoder.decode(torch.zeros(1, 4, 3, dtype=torch.long), calls=1)
    assert made.shape == (1, 1, 1920)
    assert made.isfinite().all()


def test_the_oracles_file(tmp_path):
    decoder = read_decoder(FILE, read_codec(CODEC))
    assert (decoder.config.num_codebooks, decoder.config.codebook_size, decoder.config.condition_dim) == (4, 64, 32)
    assert [band.config.unet.bottleneck for band in decoder.bands] == ["none", "transformer"]
    assert decoder.bands[0].config.schedule.beta_exponent == 7.5
    assert identify(FILE) == ("audiocraft", "diffusion decoder")
    assert not is_checkpoint(CODEC)
    assert identify(CODEC) == ("audiocraft", "codec")
    decoder.save_pretrained(tmp_path / "made")
    assert identify(tmp_path / "made") == ("cadenza", "diffusion decoder")


def test_references_and_kinds_of_settings(tmp_path, omegaconf):
    torch.save(omegaconf({"a": 3, "b": "${a}", "c": [1, {"d": None}], "e": "${oc.env:HOME}"}), tmp_path / "x.pt")
    plain = plain_settings(read_pickle(tmp_path / "x.pt", OMEGACONF))
    assert plain == {"a": 3, "b": "${a}", "c": [1, {"d": None}], "e": "${oc.env:HOME}"}
    assert Settings(plain, "x")["b"] == 3


# ---- hostile and broken files ----------------------------------------------------------------------------------------


class Call:
    def __init__(self, function: Any, *arguments: Any) -> None:
        self.call = (function, arguments)

    def __reduce__(self) -> Any:
        return self.call


def test_hostile_files_run_nothing(tmp_path, omegaconf):
    """Code behind the names of OmegaConf's classes, in their state, their arguments and their attributes."""
    witness = tmp_path / "witness"
    call = Call(os.system, f"touch {witness}")
    node, codec = omegaconf({"a": 1}), tiny_codec()
    node.__dict__["_content"]["a"].__dict__["_val"] = call
    for content in ({"sample_rate": 32000, "n_bands": 1, 0: {"cfg": node}}, {"n_bands": 1, 0: call}):
        torch.save(content, tmp_path / "evil.th")
        assert not is_checkpoint(tmp_path / "evil.th")
        with pytest.raises(CheckpointError, match="refused"):
            read_decoder(tmp_path / "evil.th", codec)
    assert not witness.exists()
    with torch.serialization.safe_globals([]):
        torch.load(tmp_path / "evil.th", weights_only=False)
    assert witness.exists()  # the attack is real


@pytest.mark.parametrize(
    "stream",
    [
        b"\x80\x04\x8c\x14omegaconf.dictconfig\x8c\x1cDictConfig.__init__.__globals__\x93.",  # an attribute of a class
        b"\x80\x02comegaconf.dictconfig\nDictConfig\nN}X\x03\x00\x00\x00abcK\x01s\x86b.",  # state for a class
        b"\x80\x02comegaconf.dictconfig\nDictConfig\n)\x81X\x01\x00\x00\x00aK\x01s.",  # an item for an object
        b"\x80\x02comegaconf.omegaconf\nOmegaConf\n.",  # another class of the library
        b"\x80\x02comegaconf.resolvers\noc\n.",
    ],
)
def test_misuse_of_the_allowed_names(tmp_path, stream):
    import zipfile

    with zipfile.ZipFile(tmp_path / "evil.th", "w") as archive:
        archive.writestr("x/data.pkl", stream)
        archive.writestr("x/version", "3\n")
    with pytest.raises(CheckpointError) as caught:
        read_decoder(tmp_path / "evil.th", tiny_codec())
    assert "\n" not in str(caught.value)


def test_a_configuration_that_holds_itself(tmp_path, omegaconf):
    node = omegaconf({"a": {}})
    node.__dict__["_content"]["a"] = node
    torch.save({"sample_rate": 32000, "n_bands": 1, 0: {"cfg": node}}, tmp_path / "x.th")
    with pytest.raises(CheckpointError, match="nested without end"):
        read_decoder(tmp_path / "x.th", tiny_codec())


def test_broken_files_are_one_line(tmp_path, omegaconf):
    codec, path = tiny_codec(), tmp_path / "x.th"

    def without(tree: dict[str, Any], key: str) -> None:
        del tree[key]

    def damaged(change: Any) -> str:
        content = small_file(path, omegaconf, "condition", 32000, 16, bands=1)
        torch.save(change(content) or content, path)
        with pytest.raises(CheckpointError) as caught:
            read_decoder(path, codec)
        assert "\n" not in str(caught.value)
        return str(caught.value)

    assert "says that it has 2 bands" in damaged(lambda content: content.update(n_bands=2))
    assert "decodes at 48000 Hz" in damaged(lambda content: content.update(sample_rate=48000))
    assert "does not say how many bands" in damaged(lambda content: {"best_state": {}})
    assert "lacks unet.embedding.weight" in damaged(
        lambda content: without(content[0]["model_state"], "embedding.weight")
    )
    assert "lacks 'cfg'" in damaged(lambda content: without(content[0], "cfg"))
    assert "repartition is 'cosine'" in damaged(lambda content: content[0].update(cfg=omegaconf(_with("repartition"))))
    assert "hidden" in damaged(lambda content: content[0].update(cfg=omegaconf(_with("hidden"))))
    small_file(path, omegaconf, "condition", 32000, 24, bands=1)
    with pytest.raises(CheckpointError, match="listens to 24 channels, its codec has 16"):
        read_decoder(path, codec)


def _with(key: str) -> dict[str, Any]:
    settings = official_settings(32000, {"hidden": -1} if key == "hidden" else {})
    return settings | ({"schedule": {"repartition": "cosine"}} if key == "repartition" else {})


def test_levels_of_other_bands_are_refused(omegaconf, tmp_path):
    content = small_file(tmp_path / "x.th", omegaconf, "bare", 32000, 16, bands=3)
    content[2]["processor_state"]["split_bands.lowpass.filters"] = torch.zeros(7, 1, 751)
    torch.save(content, tmp_path / "x.th")
    with pytest.raises(CheckpointError, match="cut otherwise"):
        read_decoder(tmp_path / "x.th", tiny_codec())


# ---- by name ---------------------------------------------------------------------------------------------------------


@pytest.fixture
def hub(tmp_path, monkeypatch):
    """Caches of ours and of the Hub that are empty, and no network."""
    from huggingface_hub import constants

    monkeypatch.setenv("CADENZA_CACHE", str(tmp_path / "cache"))
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path / "hub"))
    monkeypatch.setattr(constants, "HF_HUB_OFFLINE", True)
    return tmp_path / "hub"


def in_hub(hub: Path, repository: str) -> Path:
    place = hub / f"models--{repository.replace('/', '--')}"
    snapshot = place / "snapshots" / ("0" * 40)
    snapshot.mkdir(parents=True, exist_ok=True)
    (place / "refs").mkdir(exist_ok=True)
    (place / "refs" / "main").write_text("0" * 40)
    return snapshot


def test_published_names_find_their_files(hub, omegaconf, monkeypatch):
    """A file of the published name, the codec that it belongs to, at its number of codebooks."""
    from cadenza.convert.formats import write_codec

    file = in_hub(hub, "facebook/multiband-diffusion") / "mbd_comp_2.pt"
    codec = tiny_codec(sample_rate=24000)
    small_file(file, omegaconf, "condition", 24000, 16, bands=1)
    target = in_hub(hub, "facebook/encodec_24khz")
    target.rmdir()
    write_codec(codec, target, "transformers")
    for name in ("mbd_comp_2", "mbd_comp_2.pt", "facebook/multiband-diffusion/mbd_comp_2.pt"):
        decoder = load_diffusion(name)
        assert (decoder.config.name, decoder.config.num_codebooks) == ("mbd_comp_2", 2)
        assert "not for commercial use" in decoder.config.licence
    file.unlink()  # converted once
    with pytest.raises(Exception, match="cannot be reached"):
        load_diffusion("mbd_musicgen_32khz")
    assert [official.facts[0] for official in DECODERS.values()] == [4, 2, 4, 8]


def test_local_files_find_their_codec(hub, tmp_path, omegaconf):
    small_file(tmp_path / "mine.th", omegaconf, "condition", 32000, 32, bands=1)
    with pytest.raises(UserError, match="does not say whose codes"):
        load_diffusion(tmp_path / "mine.th")
    shutil.copy(CODEC, tmp_path)
    beside = load_diffusion(tmp_path / "mine.th")
    with pytest.raises(UserError, match="together"):
        load_diffusion(tmp_path / "mine.th", one_band=True, together=True)
    given = load_diffusion(tmp_path / "mine.th", codec=read_codec(CODEC), one_band=True)
    codes = torch.zeros(1, 4, 2, dtype=torch.long)
    assert torch.equal(beside.decode(codes, calls=1), given.decode(codes, calls=1))
    assert len(list((tmp_path / "cache" / "models" / "diffusion").iterdir())) == 2
    with pytest.raises(UserError, match="at 24000 Hz: give its codec"):
        load_diffusion(tmp_path / "mine.th", codec=tiny_codec(sample_rate=24000))
    for name, words in (("mbd_comp_3", "did you mean"), ("nowhere", "give a directory")):
        with pytest.raises(UserError, match=words):
            load_diffusion(name)
    with pytest.raises(CheckpointError, match="holds a codec"):
        load_diffusion(CODEC)
