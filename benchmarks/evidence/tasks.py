"""What each system is asked to learn: data, recipe, what differs from it, and who judges.

`{data}` in a setting is the folder of the real images, `{work}` the folder of what was prepared from them.
A training takes minutes, so pictures are small; every row of the result says how small, and how long it took.
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from pathlib import Path

Settings = dict[str, object]

DIGITS = tuple("0123456789")
RESNET_LAYERS = (0, 4, 7, 10, 14)  # of a ResNet-6: pixels, both down stages, residual blocks 1 and 5
STEEL = ("crazing", "inclusion", "patches", "pitted_surface", "rolled-in_scale", "scratches")
STYLED: Settings = {  # narrow networks of StarGAN v2; as in the paper, diversity's weight ends at 0
    "size": 32, "width": 16, "max_width": 64, "mapping_width": 64, "style_dim": 16, "diversity_kimg": 8.0,
}  # fmt: skip
LABELLED: Settings = {  # narrow networks of StarGAN
    "size": 48, "width": 16, "blocks": 3, "critic_width": 16, "critic_layers": 4, "n_critic": 1,
}  # fmt: skip
NARROW: Settings = {  # networks between contrasts; tone is what is learned, so no augmentation may change it
    "width": 16, "blocks": 2, "critic_width": 16, "batch": 1, "augment": "translation",
}  # fmt: skip
FEW_LANDMARKS: Settings = {  # of TransGaGa, on small pictures
    "size": 48, "load_size": 52, "landmarks": 6, "components": 6, "lambda_concentration": 30.0,
}  # fmt: skip
SEEKING = 0.1  # of the paper's 1.0, for the term is larger where most of a picture is black
MNIST = "{data}/digits/t10k-images-idx3-ubyte.gz"  # the first 8000 images are for training


@dataclass(frozen=True)
class Task:
    """One row of evidence."""

    recipe: str  # a file of models/recipes
    images: str  # folder of the shared data
    judge: str  # a key of judges.JUDGES
    settings: Settings = field(default_factory=dict)
    minutes: float = 4.0  # CPU
    held_out: tuple[str, ...] = ()  # folders or files that nothing is trained on
    test_size: int = 0  # px at which images are judged; 0 = the training's
    falls: tuple[str, ...] = ()  # losses of the training whose sum tells how consistent instances are

    def filled(self, data: Path, work: Path) -> Task:
        """With the folders' names in all settings."""
        settings = {name: _filled(value, data, work) for name, value in self.settings.items()}
        held_out = tuple(str(_filled(value, data, work)) for value in self.held_out)
        return replace(self, settings=settings, held_out=held_out)


def _filled(value: object, data: Path, work: Path) -> object:
    return value.replace("{data}", str(data)).replace("{work}", str(work)) if isinstance(value, str) else value


def _paired(recipe: str, **more: object) -> Task:
    settings: Settings = {"data": "{data}/xray_lowdose", "channels": 1, "size": 64, "load_size": 128}
    return Task(
        recipe, "xray_lowdose", "paired", settings | more,
        held_out=("{data}/xray_lowdose/testA", "{data}/xray_lowdose/testB"), test_size=128,
    )  # fmt: skip


def _either(recipe: str, **more: object) -> Task:
    """T1 to T2 or FLAIR: the style must say which, for nothing else does."""
    settings: Settings = {"data": "{work}/either", "channels": 1, "size": 64, "load_size": 64, "lr": 4e-4}
    held_out = tuple(f"{{data}}/mr_contrasts/test/{contrast}" for contrast in ("T1", "T2", "FLAIR"))
    return Task(recipe, "mr_contrasts", "either", settings | more, 5.0, held_out)


def _mode_seeking(weight: float) -> Task:
    """Whether the loss, rather than the network, makes z count."""
    return replace(_either("msgan_compact", levels=4, lambda_mode_seeking=weight), judge="diverse")


def _either_unpaired(recipe: str, **more: object) -> Task:
    """The same by systems that use no pairs."""
    return replace(_either(recipe, **NARROW, **more), minutes=8.0)


def _contrast_pair(recipe: str, **more: object) -> Task:
    """T1 to T2 without pairs, of slices that have some, so that the truth judges."""
    settings: Settings = {
        "data_a": "{data}/mr_contrasts/train/T1", "data_b": "{data}/mr_contrasts/train/T2", "channels": 1, "size": 64,
        "load_size": 64, "lr": 4e-4,
    }  # fmt: skip
    held_out = ("{data}/mr_contrasts/test/T1", "{data}/mr_contrasts/test/T2")
    return Task(recipe, "mr_contrasts", "unpaired", settings | more, 6.0, held_out)


def _attributes(**more: object) -> Task:
    """The same with DRIT, which learns at every third step only, and with z."""
    return replace(_contrast_pair("drit_compact", **NARROW, **more), minutes=10.0)


def _two_contrasts(recipe: str, **more: object) -> Task:
    """The same with a narrow ResNet-6."""
    narrow: Settings = {"generator": "resnet6", "width": 16, "critic_width": 16}
    return _contrast_pair(recipe, **narrow, **more)


def _digits(recipe: str, **more: object) -> Task:
    settings: Settings = {"data": MNIST + "#0:8000", "channels": 1, "flip": False}
    held_out = (MNIST + "#8000:9000", MNIST + "#9000:10000")
    return Task(recipe, "digits", "digits", settings | more, 2.5, held_out)


def _two_digits(recipe: str, judge: str, **more: object) -> Task:
    settings: Settings = {"data_a": MNIST + "#0:8000", "data_b": "{data}/digits/usps.h5#train", "domains": DIGITS}
    return Task(recipe, "digits", judge, settings | more, 2.5, (MNIST + "#8000:10000", "{data}/digits/usps.h5#test"))


def _tissue(**more: object) -> Task:
    """Classes of dim X-rays from labels of clean ones; no pictures bridge the two."""
    settings: Settings = {
        "data": "{work}/tissue", "domains": ("air", "soft", "dense"), "channels": 1, "size": 48, "load_size": 48,
        "lr": 4e-4, "bridge_share": 0.7,
    }  # fmt: skip
    held_out = ("{work}/tissue/testB", "{work}/tissue/trainA")
    return Task("domain_bridge_compact", "xray_lowdose", "segmented", settings | more, 6.0, held_out)


def _defects(recipe: str, **more: object) -> Task:
    """Blowholes of tiles to no blowhole, in windows around them."""
    settings: Settings = {
        "data": "{work}/flaws", "channels": 1, "size": 64, "load_size": 64, "batch": 1, "instances": 1, "lr": 4e-4,
    }  # fmt: skip
    held_out = ("{work}/flaws/testA", "{work}/flaws/testB")
    return Task(recipe, "magnetic_tile", "instances", settings | more, 11.0, held_out)


def _steel(recipe: str, *falls: str, **more: object) -> Task:
    """Patches to scratches, with boxes of both."""
    settings: Settings = {
        "data_a": "{data}/steel_defects/train/patches", "data_b": "{data}/steel_defects/train/scratches", "channels": 1,
        "lr": 4e-4,
    }  # fmt: skip
    held_out = ("{data}/steel_defects/test/patches", "{data}/steel_defects/test/scratches")
    return Task(recipe, "steel_defects", "boxed", settings | more, 6.0, held_out, falls=falls)


def _steel_classes(recipe: str, minutes: float, **more: object) -> Task:
    """Every class of defects to every other one."""
    settings: Settings = {
        "data": "{data}/steel_defects", "channels": 1, "lr": 4e-4, "augment": "translation", "domains": STEEL,
    }  # fmt: skip
    return Task(recipe, "steel_defects", "domains", settings | more, minutes, ("{data}/steel_defects/test",))


def _clusters(**more: object) -> Task:
    """The classes of defects, without labels."""
    settings: Settings = {
        "data": "{work}/steel", "channels": 1, "size": 32, "load_size": 64, "batch": 32, "warm_up": 0.8, "lr": 5e-4,
    }  # fmt: skip
    return Task("tunit_compact", "steel_defects", "clusters", settings | more, 6.0, ("{data}/steel_defects/test",))


def _contrasts(recipe: str, **more: object) -> Task:
    """Every contrast to every other one. Tone is what tells them apart, so no augmentation may change it."""
    settings: Settings = {
        "data": "{data}/mr_contrasts", "channels": 1, "domains": ("FLAIR", "T1", "T2"), "augment": "translation",
        "lr": 4e-4,
    }  # fmt: skip
    return Task(recipe, "mr_contrasts", "domains", settings | more, 8.0, ("{data}/mr_contrasts/test",))


TASKS: dict[str, Task] = {
    "pix2pix": replace(
        _paired("pix2pix_compact"), settings={"data": "{data}/xray_lowdose", "channels": 1}, test_size=256),
    "bicyclegan": _either("bicyclegan_compact", levels=4, lambda_kl=1e-3),
    "cut": _two_contrasts("cut_compact", nce_layers=RESNET_LAYERS),
    "cyclegan": _two_contrasts("cyclegan_compact"),
    "munit": _either_unpaired("munit_compact"),
    "stargan_v2": replace(_contrasts("stargan_v2_compact", **STYLED, load_size=32), minutes=20.0),
    "stargan_v2_steel": _steel_classes("stargan_v2_compact", 22.0, **STYLED, load_size=36),
    "stargan_steel": _steel_classes("stargan_compact", 11.0, **LABELLED, load_size=54, batch=8, attributes=()),
    "stargan": _contrasts("stargan_compact", **LABELLED, load_size=48, batch=4),
    "tunit": _clusters(),
    "tunit_k4": _clusters(clusters=4),
    "tunit_k10": _clusters(clusters=10),
    "srgan": Task("srgan_compact", "cats_dogs", "enlarged", {
        "data": "{data}/cats_dogs/trainA", "content": "mse", "pretrain": 1.0, "size": 48, "lr": 1e-3}, 4.0,
        ("{data}/cats_dogs/testA",), test_size=256),
    "srgan_stage_two": Task("srgan_compact", "cats_dogs", "perceived", {
        "data": "{data}/cats_dogs/trainA", "content_weights": "{data}/weights/squeezenet1_1_imagenet_fp16.npz",
        "pretrain": 0.6, "size": 48, "lr": 1e-3}, 9.0, ("{data}/cats_dogs/testA",), test_size=256),
    "instagan": _defects("instagan_compact", blocks=3, critic_width=16, augment="color", lambda_cycle=1.0,
                         lambda_identity=1.0),
    "clr_gan": _either("bicyclegan_compact", levels=4, lambda_gan=0.0, lambda_l1=0.0, lambda_kl=0.0),
    "cvae_gan": _either("bicyclegan_compact", levels=4, lambda_kl=1e-3, lambda_gan2=0.0, lambda_z=0.0),
    "msgan": _mode_seeking(SEEKING),
    "msgan_off": _mode_seeking(0.0),
    "fastcut": _two_contrasts("fastcut_compact", nce_layers=RESNET_LAYERS),
    "ugatit": _contrast_pair("ugatit_compact", size=96, load_size=96),
    "nice_gan": _contrast_pair("nice_gan_compact", size=96, load_size=96),
    "gcgan": _two_contrasts("gcgan_compact"),
    "distancegan": _two_contrasts("distancegan_compact"),
    "negcut": _two_contrasts("negcut_compact", nce_layers=RESNET_LAYERS),
    "unit": _contrast_pair("unit_compact"),
    "diat": replace(
        _paired("diat_compact", load_size=64, ratio=1.0), judge="unpaired", minutes=6.0, test_size=64),
    "domain_bridge": _tissue(),
    "source_only": _tissue(lambda_translated=0.0, lambda_pseudo=0.0, bridge_share=0.0),
    "drit": _attributes(),
    "drit_mode_seeking": _attributes(lambda_mode_seeking=SEEKING),
    # A longer z that must be found again, or modes that must differ more, are written into the black margin.
    "drit_pp": replace(_contrasts(
        "drit_pp_compact", size=32, load_size=32, width=16, critic_width=16, critic_layers=4, batch=4,
        content_critic_layers=0, latent=4, lambda_latent=1.0, lambda_class=1.0, lambda_mode_seeking=0.02, lr=1e-3),
        minutes=20.0),
    "init": _steel("init_compact", "G/object_cycle_ab", "G/object_cycle_ba"),
    "dunit": _steel("dunit_compact", "EG/instance", "EG/instance_cycle", batch=1),
    "instaformer": _steel("instaformer_compact", "G/instance_nce", size=64, load_size=72, batch=1, lambda_nce=1.0,
                          lambda_instance_nce=1.0),
    "transgaga_heads": Task("transgaga_compact", "mr_contrasts", "landmarks", {
        "data_a": "{data}/mr_contrasts/train/T1", "data_b": "{data}/mr_contrasts/train/T2", "channels": 1,
        **FEW_LANDMARKS, "augment": "translation"}, 7.0, ("{data}/mr_contrasts/test/T1",)),
    "transgaga": Task("transgaga_compact", "cats_dogs", "landmarks", {
        "data": "{data}/cats_dogs", **FEW_LANDMARKS, "lambda_equivariance": 1000.0}, 14.0,
        ("{data}/cats_dogs/testA",)),
    "sincut": Task("sincut_compact", "video", "one_image", {"data": "{work}/two_frames"},
                   held_out=("{work}/two_frames/trainA", "{work}/two_frames/trainB")),
    "tuigan": Task("tuigan_compact", "video", "one_image", {
        "data_a": "{work}/two_frames/trainA", "data_b": "{work}/two_frames/trainB", "load_size": 72},
        held_out=("{work}/two_frames/trainA", "{work}/two_frames/trainB")),
    "gan": _digits("gan_compact"),
    "dcgan": _digits("dcgan_compact", width=16, critic_width=16, lr=4e-4),
    "lsgan": _digits("lsgan_compact", domains=DIGITS),
    "wgan": _digits("wgan_compact", width=16, critic_width=16, n_critic=3, lr=5e-4),
    "wgan_gp": _digits("wgan_gp_compact", width=16, critic_width=16, n_critic=3, lr=5e-4),
    "vae": _digits("vae_compact"),
    "cogan": _two_digits(
        "cogan_compact", "couples", alike=True, lambda_class=0.0, lambda_feature=0.0, batch=32, width=16,
        critic_channels=(16, 32, 256), lr=1e-3, ema=0.99),
    "dtn": _two_digits("dtn_compact", "same_digit", channels=1),
    "dann": Task("dann_compact", "digits", "classified", {
        "data_a": "{data}/digits/usps.h5#train", "data_b": MNIST + "#0:8000", "batch": 32, "shrink": 2},
        2.0, (MNIST + "#8000:10000",)),
}  # fmt: skip
