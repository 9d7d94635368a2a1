"""The judges by name."""

from benchmarks.evidence.judges.adapted import ClassifiedJudge, SegmentedJudge
from benchmarks.evidence.judges.boxed import BoxedJudge
from benchmarks.evidence.judges.clusters import ClustersJudge
from benchmarks.evidence.judges.digits import CouplesJudge, DigitsJudge, SameDigitJudge
from benchmarks.evidence.judges.domains import DomainsJudge
from benchmarks.evidence.judges.instances import InstancesJudge
from benchmarks.evidence.judges.judge import Judge
from benchmarks.evidence.judges.landmarks import LandmarksJudge
from benchmarks.evidence.judges.one_image import OneImageJudge
from benchmarks.evidence.judges.paired import DiverseJudge, EitherJudge, EnlargedJudge, PairedJudge, PerceivedJudge
from benchmarks.evidence.judges.unpaired import UnpairedJudge

JUDGES: dict[str, type[Judge]] = {
    "paired": PairedJudge,
    "either": EitherJudge,
    "diverse": DiverseJudge,
    "unpaired": UnpairedJudge,
    "enlarged": EnlargedJudge,
    "perceived": PerceivedJudge,
    "domains": DomainsJudge,
    "digits": DigitsJudge,
    "couples": CouplesJudge,
    "same_digit": SameDigitJudge,
    "classified": ClassifiedJudge,
    "segmented": SegmentedJudge,
    "clusters": ClustersJudge,
    "boxed": BoxedJudge,
    "landmarks": LandmarksJudge,
    "instances": InstancesJudge,
    "one_image": OneImageJudge,
}
