"""The table of systems: a name and where its class stands, loaded when asked for."""

from __future__ import annotations

from collections.abc import Mapping
from difflib import get_close_matches
from importlib import import_module
from typing import Any

from models.config import build_config
from models.errors import ConfigError
from models.system import System

SYSTEMS = {
    "cyclegan": "models.systems.cyclegan:CycleGan",
    "pix2pix": "models.systems.pix2pix:Pix2Pix",
    "gan": "models.systems.gan:Gan",
    "vae": "models.systems.vae:Vae",
    "lsgan": "models.systems.lsgan:Lsgan",
    "dann": "models.systems.dann:Dann",
    "srgan": "models.systems.srgan:Srgan",
    "bicyclegan": "models.systems.bicyclegan:BicycleGan",
    "cut": "models.systems.cut:Cut",
    "dcgan": "models.systems.dcgan:Dcgan",
    "wgan": "models.systems.wgan:Wgan",
    "wgan_gp": "models.systems.wgan_gp:WganGp",
    "nice_gan": "models.systems.nice_gan:NiceGan",
    "drit": "models.systems.drit:Drit",
    "drit_pp": "models.systems.drit_pp:DritPlusPlus",
    "msgan": "models.systems.msgan:MsGan",
    "instagan": "models.systems.instagan:InstaGan",
    "munit": "models.systems.munit:Munit",
    "domain_bridge": "models.systems.domain_bridge:DomainBridge",
    "tunit": "models.systems.tunit:Tunit",
    "stargan": "models.systems.stargan:StarGan",
    "stargan_v2": "models.systems.stargan_v2:StarGanV2",
    "ugatit": "models.systems.ugatit:Ugatit",
    "gcgan": "models.systems.gcgan:GcGan",
    "distancegan": "models.systems.distancegan:DistanceGan",
    "unit": "models.systems.unit:Unit",
    "unit_adaptation": "models.systems.unit_adaptation:UnitAdaptation",
    "negcut": "models.systems.negcut:NegCut",
    "dtn": "models.systems.dtn:Dtn",
    "cogan": "models.systems.cogan:CoGan",
    "init": "models.systems.init:Init",
    "dunit": "models.systems.dunit:Dunit",
    "instaformer": "models.systems.instaformer:InstaFormer",
    "transgaga": "models.systems.transgaga:TransGaGa",
    "sincut": "models.systems.sincut:SinCut",
    "tuigan": "models.systems.tuigan:TuiGan",
    "diat": "models.systems.diat:Diat",
}

# Teacher → student: systems whose data are a teacher's answers.
COMPRESSIONS = {
    "omgd": "models.compress.distill.omgd:Omgd",
    "dcd": "models.compress.distill.dcd:Dcd",
    "gan_compression": "models.compress.distill.gan_compression:GanCompression",
    "cat": "models.compress.distill.cat:Cat",
    "dmad": "models.compress.distill.dmad:Dmad",
    "gan_slimming": "models.compress.distill.gan_slimming:GanSlimming",
    "wavelet": "models.compress.distill.wavelet:WaveletDistillation",
}


def system_class(name: str) -> type[System]:
    """The class of a system, or of a compression; raises ConfigError with the nearest name."""
    known = SYSTEMS | COMPRESSIONS
    if name not in known:
        near = get_close_matches(name, known, n=1)
        hint = f"did you mean {near[0]!r}?" if near else f"there are {', '.join(known)}"
        raise ConfigError(f"there is no system {name!r}; {hint}")
    module, _, attribute = known[name].partition(":")
    cls: type[System] = getattr(import_module(module), attribute)
    return cls


def build_system(name: str, settings: Mapping[str, Any] | None = None) -> System:
    """A system with random weights; `settings` override its Config's defaults."""
    cls = system_class(name)
    return cls(build_config(cls.config, settings or {}))
