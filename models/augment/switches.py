"""The settings of a recipe that help a critic with few images (docs/limited_data.md), and which systems take them."""

from __future__ import annotations

from dataclasses import dataclass

from models.augment.ada import strengths
from models.augment.rehearsal import Script
from models.errors import ConfigError

CONSISTENCIES = ("cr", "bcr", "accr")


@dataclass(frozen=True)
class Switches:
    """All off by default; each works with any other."""

    ada: str = (
        ""  # classes of ADA's pipe: "blit,geometry,color"; also filter, noise, cutout; "color:0.5": half as often
    )
    ada_p: float = 0.0  # probability of ADA and of APA; 0 = it follows the critic's overfitting
    ada_target: float = 0.6  # share by which a critic may be too sure of real images before p rises
    ada_kimg: float = 0.0  # in which p could go from 0 to 1; 0 = a fiftieth of the training, as in the paper
    ada_max: float = 0.8  # where p stops: above it the paper saw augmentations leak
    apa: bool = False  # with probability p the critic is shown a generated image as a real one
    lecam: float = 0.0  # weight of LeCam's term on the critic's logits; 0.1 to 0.3 for LSGAN and hinge
    lecam_decay: float = 0.99  # of the running means of the logits, per step
    consistency: str = ""  # "cr", "bcr" or "accr": a critic's verdict holds for the mirrored, shifted image too
    lambda_consistency: float = 10.0

    @property
    def adaptive(self) -> bool:
        """Whether p follows the critic."""
        return bool(self.ada or self.apa) and not self.ada_p

    @property
    def consistent(self) -> bool:
        """Whether a consistency term is added."""
        return bool(self.consistency and self.lambda_consistency)

    def any(self) -> bool:
        """Whether anything is on."""
        return bool(self.ada or self.apa or self.lecam or self.consistent)

    def check(self) -> None:
        """Raises ConfigError where a value is outside its range."""
        strengths(self.ada)
        if self.consistency and self.consistency not in CONSISTENCIES:
            raise ConfigError(f"there is no consistency = {self.consistency!r}; there are {', '.join(CONSISTENCIES)}")
        if not (0 <= self.ada_p <= 1 and 0 <= self.ada_max <= 1 and -1 <= self.ada_target <= 1):
            raise ConfigError(
                f"ada_p and ada_max are probabilities and ada_target is in [-1, 1], got {self.ada_p}, {self.ada_max} "
                f"and {self.ada_target}"
            )
        if min(self.ada_kimg, self.lecam, self.lambda_consistency) < 0 or not 0 <= self.lecam_decay < 1:
            raise ConfigError(
                "ada_kimg, lecam and lambda_consistency are not negative and lecam_decay is in [0, 1), got "
                f"{self.ada_kimg}, {self.lecam}, {self.lambda_consistency} and {self.lecam_decay}"
            )


def refusal(switches: Switches, scripts: dict[str, Script], labelled: bool, two_ways: bool) -> str:
    """Why a system that follows the scripts cannot use the switches, as a sentence's end; empty when it can.

    `labelled`: its batches hold classes; `two_ways`: it ships a generator in either direction, without controls.
    """
    judged = [each for script in scripts.values() for each in script.judged]
    real = {(name, call) for name, script in scripts.items() for each in script.judged for call in each.real}
    if not any(script.calls for script in scripts.values()):
        return "it has no critic that looks at pictures"
    if not judged and (switches.apa or switches.lecam or switches.consistent):
        return "its critic does not compare real pictures with generated ones, so only ada with a fixed ada_p works"
    if switches.adaptive and (not judged or any(each.boundary is None for each in judged)):
        return "its critic's logits have no boundary between real and generated that p could follow: set ada_p"
    alone = all(len(each.real) == len(each.fake) == 1 for each in judged)
    if (switches.apa or switches.consistent) and not alone:
        return "its critic judges several pictures at once (apa, consistency)"
    if switches.apa and (labelled or any(call in scripts[name].told for name, call in real)):
        return "its critic also learns a real picture's class or masks, which a generated one in its place lacks (apa)"
    if switches.consistency == "accr" and switches.consistent:
        sides = {scripts[name].fields.get(call) for name, call in real}
        if not two_ways or not sides <= {"a", "b"}:  # whole images of TwoImages
            return 'consistency = "accr" needs whole images translated there and back; use "bcr"'
    return ""
