"""What may be kept: consent by purpose, the keys of senders, and the envelope around what is private."""

from __future__ import annotations

from bespeak.privacy.admit import admit, is_consent_event, purpose_of
from bespeak.privacy.consent import (
    ANALYTICS,
    CONSENT_EVENT,
    PERSONALIZATION,
    Admission,
    Admitted,
    Choice,
    PrivacySettings,
    Purpose,
    Refused,
    consent_choices,
    consent_only,
    may,
    repeats,
)
from bespeak.privacy.keys import Key, KeyKind, decode_key, digest_token, encode_key, make_key, sign, verify

__all__ = [
    "ANALYTICS",
    "CONSENT_EVENT",
    "PERSONALIZATION",
    "Admission",
    "Admitted",
    "Choice",
    "Key",
    "KeyKind",
    "PrivacySettings",
    "Purpose",
    "Refused",
    "admit",
    "consent_choices",
    "consent_only",
    "decode_key",
    "digest_token",
    "encode_key",
    "is_consent_event",
    "make_key",
    "may",
    "purpose_of",
    "repeats",
    "sign",
    "verify",
]
