"""De-identification: the Basic Application Level Confidentiality Profile of PS3.15, table E.1-1 of edition 2024b.

The table comes from dicom-anonymizer. Its rules are applied to the data sets nested in sequences too, UIDs and the
patient's pseudonym are keyed hashes (the same after a restart, unlike random ones), and private attributes go.
Pixels are not cleaned: an image that may show who it is of is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from copy import deepcopy
from typing import Any, TypeAlias

from dicomanonymizer import anonymize_dataset
from dicomanonymizer.simpledicomanonymizer import (
    delete,
    delete_or_empty,
    delete_or_empty_or_replace,
    delete_or_empty_or_replace_UID,
    delete_or_replace,
    empty,
    empty_or_replace,
    initialize_actions_2024b,
    keep,
    replace_UID,
)
from pydicom.dataset import Dataset
from pydicom.sr.codedict import codes
from pydicom.sr.coding import Code
from pydicom.uid import (
    CTImageStorage,
    EnhancedCTImageStorage,
    EnhancedMRImageStorage,
    EnhancedPETImageStorage,
    MRImageStorage,
    PositronEmissionTomographyImageStorage,
)

from runtime.dicom.derive import coded
from runtime.dicom.identity import Names
from runtime.errors import DicomError

Rule: TypeAlias = Callable[[Dataset, Any], None]  # changes the attribute of a tag in a data set
_TIMES = ("DA", "DT", "TM")
_BURNED_IN = ("BurnedInAnnotation", "RecognizableVisualFeatures")
# Pictures of scanners carry no text unless they say so; those of all other devices often do without saying so.
_WITHOUT_TEXT = {CTImageStorage, MRImageStorage, PositronEmissionTomographyImageStorage}
_WITHOUT_TEXT |= {EnhancedCTImageStorage, EnhancedMRImageStorage, EnhancedPETImageStorage}
_PROFILE: Code = codes.cid7050.BasicApplicationConfidentialityProfile


def deidentify(dataset: Dataset, names: Names) -> Dataset:
    """A copy without what identifies the patient; references stay consistent among all that this node wrote.

    Raises:
        DicomError: the image itself may show who it is of.
    """
    for keyword in _BURNED_IN:
        if dataset.get(keyword) == "YES":
            raise DicomError(f"it says {keyword} = YES: its pixels must be cleaned before it can be de-identified")
    if dataset.get("BurnedInAnnotation") != "NO" and dataset.get("SOPClassUID") not in _WITHOUT_TEXT:
        raise DicomError("its pixels may hold text, which is not cleaned: it does not say BurnedInAnnotation = NO")
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


def _plainer(action: Rule) -> Rule:
    """The action, but dates and times become empty where the profile empties, and go where it removes (the library
    writes 00010101); a sequence that may go does, where the library fills its items with dummies."""
    empties = action in (empty, empty_or_replace)

    def apply(dataset: Dataset, tag: Any) -> None:
        element = dataset.get(tag)
        if element is None:
            return
        if element.VR in _TIMES and empties:
            element.value = ""
        elif element.VR in _TIMES or (element.VR == "SQ" and not empties):
            del dataset[element.tag]
        else:
            action(dataset, tag)

    return apply


def _rules(names: Names) -> dict[tuple[int, ...], Rule]:
    """What differs from the library: UIDs become keyed hashes; references stay, their UIDs hashed where they stand."""

    def hash_uid(dataset: Dataset, tag: Any) -> None:
        element = dataset.get(tag)
        if element is not None and element.value:
            uids = element.value if element.VM > 1 else [element.value]
            element.value = [names.uid("clean", uid) for uid in uids]

    optional = (delete, delete_or_empty, delete_or_replace, delete_or_empty_or_replace)
    ours = {action: _plainer(action) for action in (empty, empty_or_replace, *optional)}
    ours |= {replace_UID: hash_uid, delete_or_empty_or_replace_UID: keep}
    return {tag: ours[action] for tag, action in initialize_actions_2024b().items() if action in ours}
