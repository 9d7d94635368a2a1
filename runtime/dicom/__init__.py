"""A DICOM node: C-STORE in, translate, a derived series out to a PACS. Only this package knows DICOM."""
