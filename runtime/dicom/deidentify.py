"""De-identification: the Basic Application Level Confidentiality Profile of PS3.15, table E.1-1 of edition 2024b.

The table comes from dicom-anonymizer. Its rules are applied to the data sets nested in sequences too, UIDs and the
patient's pseudonym are keyed hashes (the same after a restart, unlike random ones), and private attributes go.
Pixels are not cleaned: an image that says it has burned-in annotation is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any

from dicomanonymizer import anonymize_dataset
from dicomanonymizer.simpledicomanonymizer import initialize_actions_2024b, replace_UID
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code

from runtime.dicom.derive import coded
from runtime.dicom.identity import Names
from runtime.errors import DicomError

_BURNED_IN = ("BurnedInAnnotation", "RecognizableVisualFeatures")
_PROFILE: Code = codes.cid7050.BasicApplicationConfidentialityProfile


def deidentify(dataset: Dataset, names: Names) -> Dataset:
    """A copy without what identifies the patient; references stay consistent among all that this node wrote.

    Raises:
        DicomError: the image itself may show who it is of.
    """
    for keyword in _BURNED_IN:
        if dataset.get(keyword) == "YES":
            raise DicomError(f"it says {keyword} = YES: its pixels must be cleaned before it can be de-identified")
    patient = f"{dataset.get('PatientID', '')}\0{dataset.get('IssuerOfPatientID', '')}"
    clean = _without_pixels(dataset)
    rules = _rules(names)
    for part in [*_nested(clean), clean]:
        anonymize_dataset(part, rules, delete_private_tags=True, base_rules_gen=initialize_actions_2024b)
    clean.PatientID = clean.PatientName = names.pseudonym(patient)
    clean.PatientIdentityRemoved = "YES"
    clean.DeidentificationMethod = "PS3.15 Basic Profile, table E.1-1 (2024b)"
    clean.DeidentificationMethodCodeSequence = [coded(_PROFILE)]
    clean.LongitudinalTemporalInformationModified = "REMOVED"
    return clean


def _without_pixels(dataset: Dataset) -> Dataset:
    kept = Dataset()
    kept.update({tag: dataset.get_item(tag) for tag in list(dataset.keys()) if tag != 0x7FE00010})
    return deepcopy(kept)


def _nested(dataset: Dataset) -> Iterator[Dataset]:
    """Every data set inside a sequence, the innermost first."""
    for element in dataset:
        for item in element.value if element.VR == "SQ" else ():
            yield from _nested(item)
            yield item


def _rules(names: Names) -> dict[tuple[int, ...], Callable[[Dataset, Any], None]]:
    """What differs from the library: UIDs by keyed hash."""

    def hash_uid(dataset: Dataset, tag: Any) -> None:
        element = dataset.get(tag)
        if element is not None and element.value:
            uids = element.value if element.VM > 1 else [element.value]
            element.value = [names.uid("clean", uid) for uid in uids]

    return {tag: hash_uid for tag, action in initialize_actions_2024b().items() if action is replace_UID}
