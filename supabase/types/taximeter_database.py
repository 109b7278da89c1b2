from __future__ import annotations

import datetime
import uuid
from typing import (
    Annotated,
    Any,
    List,
    Literal,
    Optional,
    TypedDict,
)
from typing_extensions import NotRequired, TypeAlias

from pydantic import BaseModel, Field, JsonValue

AuthAalLevel: TypeAlias = Literal["aal1", "aal2", "aal3"]

AuthCodeChallengeMethod: TypeAlias = Literal["s256", "plain"]

AuthFactorStatus: TypeAlias = Literal["unverified", "verified"]

AuthFactorType: TypeAlias = Literal["totp", "webauthn", "phone"]

AuthOneTimeTokenType: TypeAlias = Literal[
    "confirmation_token",
    "reauthentication_token",
    "recovery_token",
    "email_change_token_new",
    "email_change_token_current",
    "phone_change_token",
]

PrivatePaymentRank: TypeAlias = Literal[
    "requested", "failed", "paid", "partly_refunded", "refunded", "disputed"
]

PublicSessionStatus: TypeAlias = Literal[
    "pending",
    "scheduled",
    "accepted",
    "waiting",
    "live",
    "reconnecting",
    "completed",
    "cancelled",
    "expired",
    "unattended",
    "refunded",
    "archived",
]

StorageBuckettype: TypeAlias = Literal["STANDARD", "ANALYTICS", "VECTOR"]


class PublicCheckoutIntents(BaseModel):
    arguments_digest: str = Field(alias="arguments_digest")
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    customer_user_id: uuid.UUID = Field(alias="customer_user_id")
    duration_minutes: int = Field(alias="duration_minutes")
    expires_at: datetime.datetime = Field(alias="expires_at")
    id: uuid.UUID = Field(alias="id")
    idempotency_key: Optional[str] = Field(alias="idempotency_key")
    intake: JsonValue = Field(alias="intake")
    plan: str = Field(alias="plan")
    preferred_mechanic_id: Optional[uuid.UUID] = Field(alias="preferred_mechanic_id")
    price_cents: int = Field(alias="price_cents")
    scheduled_for: Optional[datetime.datetime] = Field(alias="scheduled_for")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    status: str = Field(alias="status")
    stripe_checkout_session_id: Optional[str] = Field(alias="stripe_checkout_session_id")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicCheckoutIntentsInsert(TypedDict):
    arguments_digest: Annotated[str, Field(alias="arguments_digest")]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    customer_user_id: Annotated[uuid.UUID, Field(alias="customer_user_id")]
    duration_minutes: Annotated[int, Field(alias="duration_minutes")]
    expires_at: Annotated[datetime.datetime, Field(alias="expires_at")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    idempotency_key: NotRequired[Annotated[Optional[str], Field(alias="idempotency_key")]]
    intake: NotRequired[Annotated[JsonValue, Field(alias="intake")]]
    plan: Annotated[str, Field(alias="plan")]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    price_cents: Annotated[int, Field(alias="price_cents")]
    scheduled_for: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="scheduled_for")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    stripe_checkout_session_id: NotRequired[
        Annotated[Optional[str], Field(alias="stripe_checkout_session_id")]
    ]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicCheckoutIntentsUpdate(TypedDict):
    arguments_digest: NotRequired[Annotated[str, Field(alias="arguments_digest")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    customer_user_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_user_id")]]
    duration_minutes: NotRequired[Annotated[int, Field(alias="duration_minutes")]]
    expires_at: NotRequired[Annotated[datetime.datetime, Field(alias="expires_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    idempotency_key: NotRequired[Annotated[Optional[str], Field(alias="idempotency_key")]]
    intake: NotRequired[Annotated[JsonValue, Field(alias="intake")]]
    plan: NotRequired[Annotated[str, Field(alias="plan")]]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    scheduled_for: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="scheduled_for")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    stripe_checkout_session_id: NotRequired[
        Annotated[Optional[str], Field(alias="stripe_checkout_session_id")]
    ]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicDiagnosticSessions(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    customer_user_id: uuid.UUID = Field(alias="customer_user_id")
    duration_minutes: Optional[int] = Field(alias="duration_minutes")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    id: uuid.UUID = Field(alias="id")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    metadata: JsonValue = Field(alias="metadata")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    status: PublicSessionStatus = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicDiagnosticSessionsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_user_id: Annotated[uuid.UUID, Field(alias="customer_user_id")]
    duration_minutes: NotRequired[Annotated[Optional[int], Field(alias="duration_minutes")]]
    ended_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="ended_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    started_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="started_at")]]
    status: NotRequired[Annotated[PublicSessionStatus, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicDiagnosticSessionsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_user_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_user_id")]]
    duration_minutes: NotRequired[Annotated[Optional[int], Field(alias="duration_minutes")]]
    ended_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="ended_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    started_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="started_at")]]
    status: NotRequired[Annotated[PublicSessionStatus, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicExtensionOptions(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    is_active: bool = Field(alias="is_active")
    minutes: int = Field(alias="minutes")
    price_cents: int = Field(alias="price_cents")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicExtensionOptionsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    minutes: Annotated[int, Field(alias="minutes")]
    price_cents: Annotated[int, Field(alias="price_cents")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicExtensionOptionsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    minutes: NotRequired[Annotated[int, Field(alias="minutes")]]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicMechanicEarnings(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    gross_cents: int = Field(alias="gross_cents")
    mechanic_id: uuid.UUID = Field(alias="mechanic_id")
    platform_cents: int = Field(alias="platform_cents")
    referral_cents: int = Field(alias="referral_cents")
    session_id: uuid.UUID = Field(alias="session_id")
    share_cents: int = Field(alias="share_cents")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicMechanicEarningsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    gross_cents: Annotated[int, Field(alias="gross_cents")]
    mechanic_id: Annotated[uuid.UUID, Field(alias="mechanic_id")]
    platform_cents: Annotated[int, Field(alias="platform_cents")]
    referral_cents: Annotated[int, Field(alias="referral_cents")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    share_cents: Annotated[int, Field(alias="share_cents")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicMechanicEarningsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    gross_cents: NotRequired[Annotated[int, Field(alias="gross_cents")]]
    mechanic_id: NotRequired[Annotated[uuid.UUID, Field(alias="mechanic_id")]]
    platform_cents: NotRequired[Annotated[int, Field(alias="platform_cents")]]
    referral_cents: NotRequired[Annotated[int, Field(alias="referral_cents")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    share_cents: NotRequired[Annotated[int, Field(alias="share_cents")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicMechanics(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    id: uuid.UUID = Field(alias="id")
    is_accepting: bool = Field(alias="is_accepting")
    referral_code: str = Field(alias="referral_code")
    referred_by: Optional[uuid.UUID] = Field(alias="referred_by")
    specialties: List[str] = Field(alias="specialties")
    status: str = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicMechanicsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: Annotated[uuid.UUID, Field(alias="id")]
    is_accepting: NotRequired[Annotated[bool, Field(alias="is_accepting")]]
    referral_code: NotRequired[Annotated[str, Field(alias="referral_code")]]
    referred_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="referred_by")]]
    specialties: NotRequired[Annotated[List[str], Field(alias="specialties")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicMechanicsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    is_accepting: NotRequired[Annotated[bool, Field(alias="is_accepting")]]
    referral_code: NotRequired[Annotated[str, Field(alias="referral_code")]]
    referred_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="referred_by")]]
    specialties: NotRequired[Annotated[List[str], Field(alias="specialties")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicNotifications(BaseModel):
    about: str = Field(alias="about")
    body: str = Field(alias="body")
    created_at: datetime.datetime = Field(alias="created_at")
    id: uuid.UUID = Field(alias="id")
    kind: str = Field(alias="kind")
    read_at: Optional[datetime.datetime] = Field(alias="read_at")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    title: str = Field(alias="title")
    user_id: uuid.UUID = Field(alias="user_id")


class PublicNotificationsInsert(TypedDict):
    about: Annotated[str, Field(alias="about")]
    body: Annotated[str, Field(alias="body")]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: Annotated[str, Field(alias="kind")]
    read_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="read_at")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    title: Annotated[str, Field(alias="title")]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]


class PublicNotificationsUpdate(TypedDict):
    about: NotRequired[Annotated[str, Field(alias="about")]]
    body: NotRequired[Annotated[str, Field(alias="body")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: NotRequired[Annotated[str, Field(alias="kind")]]
    read_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="read_at")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    title: NotRequired[Annotated[str, Field(alias="title")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]


class PublicPayouts(BaseModel):
    amount_cents: int = Field(alias="amount_cents")
    blocked_by: Optional[str] = Field(alias="blocked_by")
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    due_at: datetime.datetime = Field(alias="due_at")
    id: uuid.UUID = Field(alias="id")
    kind: str = Field(alias="kind")
    reversed_cents: int = Field(alias="reversed_cents")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    source_id: uuid.UUID = Field(alias="source_id")
    status: str = Field(alias="status")
    stripe_transfer_id: Optional[str] = Field(alias="stripe_transfer_id")
    updated_at: datetime.datetime = Field(alias="updated_at")
    user_id: uuid.UUID = Field(alias="user_id")


class PublicPayoutsInsert(TypedDict):
    amount_cents: Annotated[int, Field(alias="amount_cents")]
    blocked_by: NotRequired[Annotated[Optional[str], Field(alias="blocked_by")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    due_at: Annotated[datetime.datetime, Field(alias="due_at")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: Annotated[str, Field(alias="kind")]
    reversed_cents: NotRequired[Annotated[int, Field(alias="reversed_cents")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    source_id: Annotated[uuid.UUID, Field(alias="source_id")]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    stripe_transfer_id: NotRequired[Annotated[Optional[str], Field(alias="stripe_transfer_id")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]


class PublicPayoutsUpdate(TypedDict):
    amount_cents: NotRequired[Annotated[int, Field(alias="amount_cents")]]
    blocked_by: NotRequired[Annotated[Optional[str], Field(alias="blocked_by")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    due_at: NotRequired[Annotated[datetime.datetime, Field(alias="due_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: NotRequired[Annotated[str, Field(alias="kind")]]
    reversed_cents: NotRequired[Annotated[int, Field(alias="reversed_cents")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    source_id: NotRequired[Annotated[uuid.UUID, Field(alias="source_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    stripe_transfer_id: NotRequired[Annotated[Optional[str], Field(alias="stripe_transfer_id")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]


class PublicPlans(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    duration_minutes: int = Field(alias="duration_minutes")
    is_active: bool = Field(alias="is_active")
    is_free_eligible: bool = Field(alias="is_free_eligible")
    price_cents: int = Field(alias="price_cents")
    slug: str = Field(alias="slug")
    title: str = Field(alias="title")
    type: str = Field(alias="type")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicPlansInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    duration_minutes: Annotated[int, Field(alias="duration_minutes")]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    is_free_eligible: NotRequired[Annotated[bool, Field(alias="is_free_eligible")]]
    price_cents: Annotated[int, Field(alias="price_cents")]
    slug: Annotated[str, Field(alias="slug")]
    title: Annotated[str, Field(alias="title")]
    type: Annotated[str, Field(alias="type")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicPlansUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    duration_minutes: NotRequired[Annotated[int, Field(alias="duration_minutes")]]
    is_active: NotRequired[Annotated[bool, Field(alias="is_active")]]
    is_free_eligible: NotRequired[Annotated[bool, Field(alias="is_free_eligible")]]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    slug: NotRequired[Annotated[str, Field(alias="slug")]]
    title: NotRequired[Annotated[str, Field(alias="title")]]
    type: NotRequired[Annotated[str, Field(alias="type")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicProfiles(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    deleted_at: Optional[datetime.datetime] = Field(alias="deleted_at")
    display_name: Optional[str] = Field(alias="display_name")
    email: Optional[str] = Field(alias="email")
    id: uuid.UUID = Field(alias="id")
    role: str = Field(alias="role")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicProfilesInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    deleted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="deleted_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    email: NotRequired[Annotated[Optional[str], Field(alias="email")]]
    id: Annotated[uuid.UUID, Field(alias="id")]
    role: NotRequired[Annotated[str, Field(alias="role")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicProfilesUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    deleted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="deleted_at")]]
    display_name: NotRequired[Annotated[Optional[str], Field(alias="display_name")]]
    email: NotRequired[Annotated[Optional[str], Field(alias="email")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    role: NotRequired[Annotated[str, Field(alias="role")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicRepairQuotes(BaseModel):
    amount_cents: int = Field(alias="amount_cents")
    bonus_cents: Optional[int] = Field(alias="bonus_cents")
    bonus_confirmed_at: Optional[datetime.datetime] = Field(alias="bonus_confirmed_at")
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    decided_at: Optional[datetime.datetime] = Field(alias="decided_at")
    description: str = Field(alias="description")
    id: uuid.UUID = Field(alias="id")
    mechanic_id: uuid.UUID = Field(alias="mechanic_id")
    session_id: uuid.UUID = Field(alias="session_id")
    status: str = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicRepairQuotesInsert(TypedDict):
    amount_cents: Annotated[int, Field(alias="amount_cents")]
    bonus_cents: NotRequired[Annotated[Optional[int], Field(alias="bonus_cents")]]
    bonus_confirmed_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="bonus_confirmed_at")]
    ]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    decided_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="decided_at")]]
    description: Annotated[str, Field(alias="description")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: Annotated[uuid.UUID, Field(alias="mechanic_id")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicRepairQuotesUpdate(TypedDict):
    amount_cents: NotRequired[Annotated[int, Field(alias="amount_cents")]]
    bonus_cents: NotRequired[Annotated[Optional[int], Field(alias="bonus_cents")]]
    bonus_confirmed_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="bonus_confirmed_at")]
    ]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    decided_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="decided_at")]]
    description: NotRequired[Annotated[str, Field(alias="description")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[uuid.UUID, Field(alias="mechanic_id")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionAssignments(BaseModel):
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    announced_at: Optional[datetime.datetime] = Field(alias="announced_at")
    closed_at: Optional[datetime.datetime] = Field(alias="closed_at")
    created_at: datetime.datetime = Field(alias="created_at")
    id: uuid.UUID = Field(alias="id")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    preferred_mechanic_id: Optional[uuid.UUID] = Field(alias="preferred_mechanic_id")
    session_id: uuid.UUID = Field(alias="session_id")
    status: str = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")
    visible_to_all_at: datetime.datetime = Field(alias="visible_to_all_at")


class PublicSessionAssignmentsInsert(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    announced_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="announced_at")]]
    closed_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="closed_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    visible_to_all_at: NotRequired[Annotated[datetime.datetime, Field(alias="visible_to_all_at")]]


class PublicSessionAssignmentsUpdate(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    announced_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="announced_at")]]
    closed_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="closed_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    visible_to_all_at: NotRequired[Annotated[datetime.datetime, Field(alias="visible_to_all_at")]]


class PublicSessionEvents(BaseModel):
    actor_id: Optional[uuid.UUID] = Field(alias="actor_id")
    actor_role: str = Field(alias="actor_role")
    created_at: datetime.datetime = Field(alias="created_at")
    id: int = Field(alias="id")
    occurred_at: datetime.datetime = Field(alias="occurred_at")
    payload: JsonValue = Field(alias="payload")
    session_id: uuid.UUID = Field(alias="session_id")
    source: str = Field(alias="source")
    type: str = Field(alias="type")
    version: int = Field(alias="version")


class PublicSessionEventsInsert(TypedDict):
    actor_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="actor_id")]]
    actor_role: Annotated[str, Field(alias="actor_role")]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[int, Field(alias="id")]]
    occurred_at: NotRequired[Annotated[datetime.datetime, Field(alias="occurred_at")]]
    payload: NotRequired[Annotated[JsonValue, Field(alias="payload")]]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    source: NotRequired[Annotated[str, Field(alias="source")]]
    type: Annotated[str, Field(alias="type")]
    version: Annotated[int, Field(alias="version")]


class PublicSessionEventsUpdate(TypedDict):
    actor_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="actor_id")]]
    actor_role: NotRequired[Annotated[str, Field(alias="actor_role")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[int, Field(alias="id")]]
    occurred_at: NotRequired[Annotated[datetime.datetime, Field(alias="occurred_at")]]
    payload: NotRequired[Annotated[JsonValue, Field(alias="payload")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    source: NotRequired[Annotated[str, Field(alias="source")]]
    type: NotRequired[Annotated[str, Field(alias="type")]]
    version: NotRequired[Annotated[int, Field(alias="version")]]


class PublicSessionExtensions(BaseModel):
    applied_at: Optional[datetime.datetime] = Field(alias="applied_at")
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    id: uuid.UUID = Field(alias="id")
    minutes: int = Field(alias="minutes")
    price_cents: int = Field(alias="price_cents")
    requested_by: uuid.UUID = Field(alias="requested_by")
    session_id: uuid.UUID = Field(alias="session_id")
    status: str = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicSessionExtensionsInsert(TypedDict):
    applied_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="applied_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    minutes: Annotated[int, Field(alias="minutes")]
    price_cents: Annotated[int, Field(alias="price_cents")]
    requested_by: Annotated[uuid.UUID, Field(alias="requested_by")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionExtensionsUpdate(TypedDict):
    applied_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="applied_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    minutes: NotRequired[Annotated[int, Field(alias="minutes")]]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    requested_by: NotRequired[Annotated[uuid.UUID, Field(alias="requested_by")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionFiles(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    id: uuid.UUID = Field(alias="id")
    name: str = Field(alias="name")
    session_id: uuid.UUID = Field(alias="session_id")
    size: int = Field(alias="size")
    storage_path: str = Field(alias="storage_path")
    type: str = Field(alias="type")
    uploaded_by: uuid.UUID = Field(alias="uploaded_by")


class PublicSessionFilesInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    name: Annotated[str, Field(alias="name")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    size: Annotated[int, Field(alias="size")]
    storage_path: Annotated[str, Field(alias="storage_path")]
    type: Annotated[str, Field(alias="type")]
    uploaded_by: Annotated[uuid.UUID, Field(alias="uploaded_by")]


class PublicSessionFilesUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    name: NotRequired[Annotated[str, Field(alias="name")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    size: NotRequired[Annotated[int, Field(alias="size")]]
    storage_path: NotRequired[Annotated[str, Field(alias="storage_path")]]
    type: NotRequired[Annotated[str, Field(alias="type")]]
    uploaded_by: NotRequired[Annotated[uuid.UUID, Field(alias="uploaded_by")]]


class PublicSessionMessages(BaseModel):
    client_id: Optional[uuid.UUID] = Field(alias="client_id")
    content: str = Field(alias="content")
    created_at: datetime.datetime = Field(alias="created_at")
    file_ids: List[uuid.UUID] = Field(alias="file_ids")
    id: uuid.UUID = Field(alias="id")
    sender_id: uuid.UUID = Field(alias="sender_id")
    session_id: uuid.UUID = Field(alias="session_id")


class PublicSessionMessagesInsert(TypedDict):
    client_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="client_id")]]
    content: Annotated[str, Field(alias="content")]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    file_ids: NotRequired[Annotated[List[uuid.UUID], Field(alias="file_ids")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    sender_id: Annotated[uuid.UUID, Field(alias="sender_id")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]


class PublicSessionMessagesUpdate(TypedDict):
    client_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="client_id")]]
    content: NotRequired[Annotated[str, Field(alias="content")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    file_ids: NotRequired[Annotated[List[uuid.UUID], Field(alias="file_ids")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    sender_id: NotRequired[Annotated[uuid.UUID, Field(alias="sender_id")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]


class PublicSessionParticipants(BaseModel):
    closed_at: Optional[datetime.datetime] = Field(alias="closed_at")
    created_at: datetime.datetime = Field(alias="created_at")
    first_joined_at: Optional[datetime.datetime] = Field(alias="first_joined_at")
    is_connected: bool = Field(alias="is_connected")
    joined_by_video_at: Optional[datetime.datetime] = Field(alias="joined_by_video_at")
    last_seen_at: Optional[datetime.datetime] = Field(alias="last_seen_at")
    left_at: Optional[datetime.datetime] = Field(alias="left_at")
    presence_check_at: Optional[datetime.datetime] = Field(alias="presence_check_at")
    role: str = Field(alias="role")
    session_id: uuid.UUID = Field(alias="session_id")
    updated_at: datetime.datetime = Field(alias="updated_at")
    user_id: uuid.UUID = Field(alias="user_id")


class PublicSessionParticipantsInsert(TypedDict):
    closed_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="closed_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    first_joined_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="first_joined_at")]
    ]
    is_connected: NotRequired[Annotated[bool, Field(alias="is_connected")]]
    joined_by_video_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="joined_by_video_at")]
    ]
    last_seen_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="last_seen_at")]]
    left_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="left_at")]]
    presence_check_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="presence_check_at")]
    ]
    role: Annotated[str, Field(alias="role")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    user_id: Annotated[uuid.UUID, Field(alias="user_id")]


class PublicSessionParticipantsUpdate(TypedDict):
    closed_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="closed_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    first_joined_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="first_joined_at")]
    ]
    is_connected: NotRequired[Annotated[bool, Field(alias="is_connected")]]
    joined_by_video_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="joined_by_video_at")]
    ]
    last_seen_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="last_seen_at")]]
    left_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="left_at")]]
    presence_check_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="presence_check_at")]
    ]
    role: NotRequired[Annotated[str, Field(alias="role")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    user_id: NotRequired[Annotated[uuid.UUID, Field(alias="user_id")]]


class PublicSessionRequests(BaseModel):
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    created_at: datetime.datetime = Field(alias="created_at")
    customer_id: Optional[uuid.UUID] = Field(alias="customer_id")
    id: uuid.UUID = Field(alias="id")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    metadata: JsonValue = Field(alias="metadata")
    plan_code: Optional[str] = Field(alias="plan_code")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    session_type: Optional[str] = Field(alias="session_type")
    status: str = Field(alias="status")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicSessionRequestsInsert(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="customer_id")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    plan_code: NotRequired[Annotated[Optional[str], Field(alias="plan_code")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    session_type: NotRequired[Annotated[Optional[str], Field(alias="session_type")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionRequestsUpdate(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="customer_id")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    plan_code: NotRequired[Annotated[Optional[str], Field(alias="plan_code")]]
    session_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="session_id")]]
    session_type: NotRequired[Annotated[Optional[str], Field(alias="session_type")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionUpsells(BaseModel):
    created_at: datetime.datetime = Field(alias="created_at")
    customer_user_id: uuid.UUID = Field(alias="customer_user_id")
    id: uuid.UUID = Field(alias="id")
    kind: str = Field(alias="kind")
    session_id: uuid.UUID = Field(alias="session_id")
    status: str = Field(alias="status")
    target_plan: str = Field(alias="target_plan")
    title: str = Field(alias="title")
    updated_at: datetime.datetime = Field(alias="updated_at")


class PublicSessionUpsellsInsert(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_user_id: Annotated[uuid.UUID, Field(alias="customer_user_id")]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: Annotated[str, Field(alias="kind")]
    session_id: Annotated[uuid.UUID, Field(alias="session_id")]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    target_plan: Annotated[str, Field(alias="target_plan")]
    title: Annotated[str, Field(alias="title")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessionUpsellsUpdate(TypedDict):
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    customer_user_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_user_id")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    kind: NotRequired[Annotated[str, Field(alias="kind")]]
    session_id: NotRequired[Annotated[uuid.UUID, Field(alias="session_id")]]
    status: NotRequired[Annotated[str, Field(alias="status")]]
    target_plan: NotRequired[Annotated[str, Field(alias="target_plan")]]
    title: NotRequired[Annotated[str, Field(alias="title")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]


class PublicSessions(BaseModel):
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    billable_seconds: Optional[int] = Field(alias="billable_seconds")
    both_present_seconds: Optional[int] = Field(alias="both_present_seconds")
    created_at: datetime.datetime = Field(alias="created_at")
    currency: str = Field(alias="currency")
    customer_user_id: uuid.UUID = Field(alias="customer_user_id")
    due_at: Optional[datetime.datetime] = Field(alias="due_at")
    duration_minutes: int = Field(alias="duration_minutes")
    duration_seconds: Optional[int] = Field(alias="duration_seconds")
    end_note: Optional[str] = Field(alias="end_note")
    end_reason: Optional[str] = Field(alias="end_reason")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    ended_by: Optional[uuid.UUID] = Field(alias="ended_by")
    expires_at: Optional[datetime.datetime] = Field(alias="expires_at")
    funding: str = Field(alias="funding")
    grace_ends_at: Optional[datetime.datetime] = Field(alias="grace_ends_at")
    id: uuid.UUID = Field(alias="id")
    intake: JsonValue = Field(alias="intake")
    interrupted_at: Optional[datetime.datetime] = Field(alias="interrupted_at")
    last_event_at: datetime.datetime = Field(alias="last_event_at")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    metadata: JsonValue = Field(alias="metadata")
    next_warning_at: Optional[datetime.datetime] = Field(alias="next_warning_at")
    plan: str = Field(alias="plan")
    preferred_mechanic_id: Optional[uuid.UUID] = Field(alias="preferred_mechanic_id")
    price_cents: int = Field(alias="price_cents")
    scheduled_for: Optional[datetime.datetime] = Field(alias="scheduled_for")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    status: PublicSessionStatus = Field(alias="status")
    summary_submitted_at: Optional[datetime.datetime] = Field(alias="summary_submitted_at")
    type: str = Field(alias="type")
    updated_at: datetime.datetime = Field(alias="updated_at")
    version: int = Field(alias="version")


class PublicSessionsInsert(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    billable_seconds: NotRequired[Annotated[Optional[int], Field(alias="billable_seconds")]]
    both_present_seconds: NotRequired[Annotated[Optional[int], Field(alias="both_present_seconds")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: Annotated[str, Field(alias="currency")]
    customer_user_id: Annotated[uuid.UUID, Field(alias="customer_user_id")]
    due_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="due_at")]]
    duration_minutes: Annotated[int, Field(alias="duration_minutes")]
    duration_seconds: NotRequired[Annotated[Optional[int], Field(alias="duration_seconds")]]
    end_note: NotRequired[Annotated[Optional[str], Field(alias="end_note")]]
    end_reason: NotRequired[Annotated[Optional[str], Field(alias="end_reason")]]
    ended_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="ended_at")]]
    ended_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="ended_by")]]
    expires_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="expires_at")]]
    funding: Annotated[str, Field(alias="funding")]
    grace_ends_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="grace_ends_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    intake: NotRequired[Annotated[JsonValue, Field(alias="intake")]]
    interrupted_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="interrupted_at")]
    ]
    last_event_at: NotRequired[Annotated[datetime.datetime, Field(alias="last_event_at")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    next_warning_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="next_warning_at")]
    ]
    plan: Annotated[str, Field(alias="plan")]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    price_cents: Annotated[int, Field(alias="price_cents")]
    scheduled_for: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="scheduled_for")]]
    started_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="started_at")]]
    status: NotRequired[Annotated[PublicSessionStatus, Field(alias="status")]]
    summary_submitted_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="summary_submitted_at")]
    ]
    type: Annotated[str, Field(alias="type")]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    version: NotRequired[Annotated[int, Field(alias="version")]]


class PublicSessionsUpdate(TypedDict):
    accepted_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="accepted_at")]]
    billable_seconds: NotRequired[Annotated[Optional[int], Field(alias="billable_seconds")]]
    both_present_seconds: NotRequired[Annotated[Optional[int], Field(alias="both_present_seconds")]]
    created_at: NotRequired[Annotated[datetime.datetime, Field(alias="created_at")]]
    currency: NotRequired[Annotated[str, Field(alias="currency")]]
    customer_user_id: NotRequired[Annotated[uuid.UUID, Field(alias="customer_user_id")]]
    due_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="due_at")]]
    duration_minutes: NotRequired[Annotated[int, Field(alias="duration_minutes")]]
    duration_seconds: NotRequired[Annotated[Optional[int], Field(alias="duration_seconds")]]
    end_note: NotRequired[Annotated[Optional[str], Field(alias="end_note")]]
    end_reason: NotRequired[Annotated[Optional[str], Field(alias="end_reason")]]
    ended_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="ended_at")]]
    ended_by: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="ended_by")]]
    expires_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="expires_at")]]
    funding: NotRequired[Annotated[str, Field(alias="funding")]]
    grace_ends_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="grace_ends_at")]]
    id: NotRequired[Annotated[uuid.UUID, Field(alias="id")]]
    intake: NotRequired[Annotated[JsonValue, Field(alias="intake")]]
    interrupted_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="interrupted_at")]
    ]
    last_event_at: NotRequired[Annotated[datetime.datetime, Field(alias="last_event_at")]]
    mechanic_id: NotRequired[Annotated[Optional[uuid.UUID], Field(alias="mechanic_id")]]
    metadata: NotRequired[Annotated[JsonValue, Field(alias="metadata")]]
    next_warning_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="next_warning_at")]
    ]
    plan: NotRequired[Annotated[str, Field(alias="plan")]]
    preferred_mechanic_id: NotRequired[
        Annotated[Optional[uuid.UUID], Field(alias="preferred_mechanic_id")]
    ]
    price_cents: NotRequired[Annotated[int, Field(alias="price_cents")]]
    scheduled_for: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="scheduled_for")]]
    started_at: NotRequired[Annotated[Optional[datetime.datetime], Field(alias="started_at")]]
    status: NotRequired[Annotated[PublicSessionStatus, Field(alias="status")]]
    summary_submitted_at: NotRequired[
        Annotated[Optional[datetime.datetime], Field(alias="summary_submitted_at")]
    ]
    type: NotRequired[Annotated[str, Field(alias="type")]]
    updated_at: NotRequired[Annotated[datetime.datetime, Field(alias="updated_at")]]
    version: NotRequired[Annotated[int, Field(alias="version")]]


class PublicAlertBothPresentNotLive(BaseModel):
    detail: Optional[JsonValue] = Field(alias="detail")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")


class PublicAlertCompletedWithoutPayout(BaseModel):
    detail: Optional[JsonValue] = Field(alias="detail")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")


class PublicAlertLivePastDeadline(BaseModel):
    detail: Optional[JsonValue] = Field(alias="detail")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")


class PublicAlertRates(BaseModel):
    detail: Optional[JsonValue] = Field(alias="detail")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")


class PublicAlertStatusMismatch(BaseModel):
    detail: Optional[JsonValue] = Field(alias="detail")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")


class PublicMetricsMechanics(BaseModel):
    accepted: Optional[int] = Field(alias="accepted")
    completed: Optional[int] = Field(alias="completed")
    day: Optional[datetime.date] = Field(alias="day")
    declined: Optional[int] = Field(alias="declined")
    in_review: Optional[int] = Field(alias="in_review")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    no_shows: Optional[int] = Field(alias="no_shows")
    offered: Optional[int] = Field(alias="offered")
    released: Optional[int] = Field(alias="released")
    too_short: Optional[int] = Field(alias="too_short")


class PublicMetricsSessionDurations(BaseModel):
    average_seconds: Optional[float] = Field(alias="average_seconds")
    bought_minutes: Optional[float] = Field(alias="bought_minutes")
    day: Optional[datetime.date] = Field(alias="day")
    p50_seconds: Optional[float] = Field(alias="p50_seconds")
    p95_seconds: Optional[float] = Field(alias="p95_seconds")
    plan: Optional[str] = Field(alias="plan")
    sessions: Optional[int] = Field(alias="sessions")
    type: Optional[str] = Field(alias="type")
    used_minutes: Optional[float] = Field(alias="used_minutes")
    used_rate: Optional[float] = Field(alias="used_rate")


class PublicMetricsSessionOutcomes(BaseModel):
    cancelled: Optional[int] = Field(alias="cancelled")
    completed: Optional[int] = Field(alias="completed")
    completion_rate: Optional[float] = Field(alias="completion_rate")
    created: Optional[int] = Field(alias="created")
    day: Optional[datetime.date] = Field(alias="day")
    ended: Optional[int] = Field(alias="ended")
    expired: Optional[int] = Field(alias="expired")
    expired_rate: Optional[float] = Field(alias="expired_rate")
    funding: Optional[str] = Field(alias="funding")
    no_show_rate: Optional[float] = Field(alias="no_show_rate")
    no_shows_customer: Optional[int] = Field(alias="no_shows_customer")
    no_shows_mechanic: Optional[int] = Field(alias="no_shows_mechanic")
    plan: Optional[str] = Field(alias="plan")
    refunded: Optional[int] = Field(alias="refunded")
    type: Optional[str] = Field(alias="type")
    unattended: Optional[int] = Field(alias="unattended")


class PublicMetricsWaitTimes(BaseModel):
    accepted: Optional[int] = Field(alias="accepted")
    declined: Optional[int] = Field(alias="declined")
    hour: Optional[datetime.datetime] = Field(alias="hour")
    longest_waiting_seconds: Optional[int] = Field(alias="longest_waiting_seconds")
    queue_depth: Optional[int] = Field(alias="queue_depth")
    released: Optional[int] = Field(alias="released")
    started: Optional[int] = Field(alias="started")
    to_accept_p50_seconds: Optional[float] = Field(alias="to_accept_p50_seconds")
    to_accept_p95_seconds: Optional[float] = Field(alias="to_accept_p95_seconds")
    to_start_p50_seconds: Optional[float] = Field(alias="to_start_p50_seconds")
    to_start_p95_seconds: Optional[float] = Field(alias="to_start_p95_seconds")


class PublicSessionRevenueImpact(BaseModel):
    currency: Optional[str] = Field(alias="currency")
    day: Optional[datetime.date] = Field(alias="day")
    gross_cents: Optional[int] = Field(alias="gross_cents")
    lost_to_no_shows_cents: Optional[int] = Field(alias="lost_to_no_shows_cents")
    owed_cents: Optional[int] = Field(alias="owed_cents")
    paid_out_cents: Optional[int] = Field(alias="paid_out_cents")
    platform_cents: Optional[int] = Field(alias="platform_cents")
    refunded_cents: Optional[int] = Field(alias="refunded_cents")


class PublicSessionsNeedingReview(BaseModel):
    command: Optional[str] = Field(alias="command")
    detail: Optional[JsonValue] = Field(alias="detail")
    kind: Optional[str] = Field(alias="kind")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")
    subject: Optional[str] = Field(alias="subject")


class PublicAlert(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")
    detail: Optional[JsonValue] = Field(alias="detail")


class PublicAnomaly(BaseModel):
    section: Optional[int] = Field(alias="section")
    kind: Optional[str] = Field(alias="kind")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    subject: Optional[str] = Field(alias="subject")
    detail: Optional[str] = Field(alias="detail")
    command: Optional[str] = Field(alias="command")


class PublicAwaitedSummary(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    plan: Optional[str] = Field(alias="plan")
    type: Optional[str] = Field(alias="type")
    customer_display_name: Optional[str] = Field(alias="customer_display_name")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    duration_seconds: Optional[int] = Field(alias="duration_seconds")


class PublicEarning(BaseModel):
    kind: Optional[str] = Field(alias="kind")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    gross_cents: Optional[int] = Field(alias="gross_cents")
    amount_cents: Optional[int] = Field(alias="amount_cents")
    currency: Optional[str] = Field(alias="currency")
    payout_status: Optional[str] = Field(alias="payout_status")
    due_at: Optional[datetime.datetime] = Field(alias="due_at")
    earned_at: Optional[datetime.datetime] = Field(alias="earned_at")
    balance_cents: Optional[int] = Field(alias="balance_cents")


class PublicHealthMetric(BaseModel):
    category: Optional[str] = Field(alias="category")
    metric: Optional[str] = Field(alias="metric")
    value: Optional[float] = Field(alias="value")
    unit: Optional[str] = Field(alias="unit")
    status: Optional[str] = Field(alias="status")
    detail: Optional[JsonValue] = Field(alias="detail")


class PublicLedgerViolation(BaseModel):
    invariant: Optional[str] = Field(alias="invariant")
    subject: Optional[str] = Field(alias="subject")
    detail: Optional[JsonValue] = Field(alias="detail")


class PublicLegacyRow(BaseModel):
    source: Optional[str] = Field(alias="source")
    id: Optional[str] = Field(alias="id")
    action: Optional[str] = Field(alias="action")
    status_before: Optional[str] = Field(alias="status_before")
    status_after: Optional[str] = Field(alias="status_after")
    note: Optional[str] = Field(alias="note")


class PublicMySession(BaseModel):
    id: Optional[uuid.UUID] = Field(alias="id")
    customer_user_id: Optional[uuid.UUID] = Field(alias="customer_user_id")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    preferred_mechanic_id: Optional[uuid.UUID] = Field(alias="preferred_mechanic_id")
    plan: Optional[str] = Field(alias="plan")
    type: Optional[str] = Field(alias="type")
    status: Optional[PublicSessionStatus] = Field(alias="status")
    funding: Optional[str] = Field(alias="funding")
    price_cents: Optional[int] = Field(alias="price_cents")
    currency: Optional[str] = Field(alias="currency")
    intake: Optional[JsonValue] = Field(alias="intake")
    scheduled_for: Optional[datetime.datetime] = Field(alias="scheduled_for")
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    expires_at: Optional[datetime.datetime] = Field(alias="expires_at")
    duration_minutes: Optional[int] = Field(alias="duration_minutes")
    duration_seconds: Optional[int] = Field(alias="duration_seconds")
    billable_seconds: Optional[int] = Field(alias="billable_seconds")
    both_present_seconds: Optional[int] = Field(alias="both_present_seconds")
    interrupted_at: Optional[datetime.datetime] = Field(alias="interrupted_at")
    grace_ends_at: Optional[datetime.datetime] = Field(alias="grace_ends_at")
    next_warning_at: Optional[datetime.datetime] = Field(alias="next_warning_at")
    end_reason: Optional[str] = Field(alias="end_reason")
    ended_by: Optional[uuid.UUID] = Field(alias="ended_by")
    end_note: Optional[str] = Field(alias="end_note")
    summary_submitted_at: Optional[datetime.datetime] = Field(alias="summary_submitted_at")
    metadata: Optional[JsonValue] = Field(alias="metadata")
    version: Optional[int] = Field(alias="version")
    last_event_at: Optional[datetime.datetime] = Field(alias="last_event_at")
    due_at: Optional[datetime.datetime] = Field(alias="due_at")
    created_at: Optional[datetime.datetime] = Field(alias="created_at")
    updated_at: Optional[datetime.datetime] = Field(alias="updated_at")
    my_role: Optional[str] = Field(alias="my_role")
    other_display_name: Optional[str] = Field(alias="other_display_name")
    summary: Optional[JsonValue] = Field(alias="summary")
    refunded_cents: Optional[int] = Field(alias="refunded_cents")


class PublicOutboxClaim(BaseModel):
    id: Optional[int] = Field(alias="id")
    topic: Optional[str] = Field(alias="topic")
    key: Optional[str] = Field(alias="key")
    idempotency_key: Optional[str] = Field(alias="idempotency_key")
    payload: Optional[JsonValue] = Field(alias="payload")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    attempts: Optional[int] = Field(alias="attempts")
    must_look_first: Optional[bool] = Field(alias="must_look_first")
    lease_token: Optional[uuid.UUID] = Field(alias="lease_token")
    leased_until: Optional[datetime.datetime] = Field(alias="leased_until")
    created_at: Optional[datetime.datetime] = Field(alias="created_at")


class PublicQueueEntry(BaseModel):
    assignment_id: Optional[uuid.UUID] = Field(alias="assignment_id")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    plan: Optional[str] = Field(alias="plan")
    type: Optional[str] = Field(alias="type")
    intake: Optional[JsonValue] = Field(alias="intake")
    customer_display_name: Optional[str] = Field(alias="customer_display_name")
    scheduled_for: Optional[datetime.datetime] = Field(alias="scheduled_for")
    waiting_seconds: Optional[int] = Field(alias="waiting_seconds")
    is_preferred: Optional[bool] = Field(alias="is_preferred")
    created_at: Optional[datetime.datetime] = Field(alias="created_at")


class PublicReplayDifference(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    difference: Optional[JsonValue] = Field(alias="difference")


class PublicReviewItem(BaseModel):
    kind: Optional[str] = Field(alias="kind")
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    subject: Optional[str] = Field(alias="subject")
    severity: Optional[str] = Field(alias="severity")
    since: Optional[datetime.datetime] = Field(alias="since")
    detail: Optional[JsonValue] = Field(alias="detail")
    command: Optional[str] = Field(alias="command")


class PublicSemanticFix(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    status_before: Optional[PublicSessionStatus] = Field(alias="status_before")
    status_after: Optional[PublicSessionStatus] = Field(alias="status_after")
    before: Optional[JsonValue] = Field(alias="before")
    after: Optional[JsonValue] = Field(alias="after")


class PublicSessionEndResult(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    final_status: Optional[PublicSessionStatus] = Field(alias="final_status")
    already_ended: Optional[bool] = Field(alias="already_ended")
    started: Optional[bool] = Field(alias="started")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    duration_seconds: Optional[int] = Field(alias="duration_seconds")
    billable_seconds: Optional[int] = Field(alias="billable_seconds")
    reason: Optional[str] = Field(alias="reason")
    payout_cents: Optional[int] = Field(alias="payout_cents")
    refund_cents: Optional[int] = Field(alias="refund_cents")
    currency: Optional[str] = Field(alias="currency")


class PublicSessionHealth(BaseModel):
    period_start: Optional[datetime.datetime] = Field(alias="period_start")
    period_end: Optional[datetime.datetime] = Field(alias="period_end")
    total: Optional[int] = Field(alias="total")
    completed: Optional[int] = Field(alias="completed")
    cancelled: Optional[int] = Field(alias="cancelled")
    expired: Optional[int] = Field(alias="expired")
    anomalies: Optional[int] = Field(alias="anomalies")
    score: Optional[float] = Field(alias="score")
    grade: Optional[str] = Field(alias="grade")


class PublicSessionPerson(BaseModel):
    user_id: Optional[uuid.UUID] = Field(alias="user_id")
    role: Optional[str] = Field(alias="role")
    display_name: Optional[str] = Field(alias="display_name")
    specialties: Optional[List[str]] = Field(alias="specialties")


class PublicSessionRefund(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    key: Optional[str] = Field(alias="key")
    amount_cents: Optional[int] = Field(alias="amount_cents")
    currency: Optional[str] = Field(alias="currency")
    to_card_cents: Optional[int] = Field(alias="to_card_cents")
    to_credit_cents: Optional[int] = Field(alias="to_credit_cents")
    created_at: Optional[datetime.datetime] = Field(alias="created_at")


class PublicSessionReplay(BaseModel):
    session_id: Optional[uuid.UUID] = Field(alias="session_id")
    status: Optional[PublicSessionStatus] = Field(alias="status")
    version: Optional[int] = Field(alias="version")
    mechanic_id: Optional[uuid.UUID] = Field(alias="mechanic_id")
    accepted_at: Optional[datetime.datetime] = Field(alias="accepted_at")
    started_at: Optional[datetime.datetime] = Field(alias="started_at")
    expires_at: Optional[datetime.datetime] = Field(alias="expires_at")
    ended_at: Optional[datetime.datetime] = Field(alias="ended_at")
    duration_minutes: Optional[int] = Field(alias="duration_minutes")
    duration_seconds: Optional[int] = Field(alias="duration_seconds")
    billable_seconds: Optional[int] = Field(alias="billable_seconds")
    end_reason: Optional[str] = Field(alias="end_reason")
    summary_submitted_at: Optional[datetime.datetime] = Field(alias="summary_submitted_at")
    events: Optional[int] = Field(alias="events")
    is_complete: Optional[bool] = Field(alias="is_complete")


class PublicSetting(BaseModel):
    key: Optional[str] = Field(alias="key")
    value: Optional[JsonValue] = Field(alias="value")
    description: Optional[str] = Field(alias="description")
    updated_at: Optional[datetime.datetime] = Field(alias="updated_at")


class PublicVerification(BaseModel):
    section: Optional[int] = Field(alias="section")
    name: Optional[str] = Field(alias="name")
    status: Optional[str] = Field(alias="status")
    anomalies: Optional[int] = Field(alias="anomalies")
    detail: Optional[JsonValue] = Field(alias="detail")
