export type Json = string | number | boolean | null | { [key: string]: Json | undefined } | Json[];

export type Database = {
  'public': {
    Tables: {
      'checkout_intents': {
        Row: {
          'arguments_digest': string;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'duration_minutes': number;
          'expires_at': string;
          'id': string;
          'idempotency_key': string | null;
          'intake': NonNullable<Json>;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'session_id': string | null;
          'status': string;
          'stripe_checkout_session_id': string | null;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'arguments_digest': string;
          'created_at'?: string;
          'currency': string;
          'customer_user_id': string;
          'duration_minutes': number;
          'expires_at': string;
          'id'?: string;
          'idempotency_key'?: string | null;
          'intake'?: NonNullable<Json>;
          'plan': string;
          'preferred_mechanic_id'?: string | null;
          'price_cents': number;
          'scheduled_for'?: string | null;
          'session_id'?: string | null;
          'status'?: string;
          'stripe_checkout_session_id'?: string | null;
          'updated_at'?: string;
        };
        Update: {
          'arguments_digest'?: string;
          'created_at'?: string;
          'currency'?: string;
          'customer_user_id'?: string;
          'duration_minutes'?: number;
          'expires_at'?: string;
          'id'?: string;
          'idempotency_key'?: string | null;
          'intake'?: NonNullable<Json>;
          'plan'?: string;
          'preferred_mechanic_id'?: string | null;
          'price_cents'?: number;
          'scheduled_for'?: string | null;
          'session_id'?: string | null;
          'status'?: string;
          'stripe_checkout_session_id'?: string | null;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'checkout_intents_customer_user_id_fkey';
            columns: ['customer_user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'checkout_intents_plan_fkey';
            columns: ['plan'];
            isOneToOne: false;
            referencedRelation: 'plans';
            referencedColumns: ['slug'];
          },
          {
            foreignKeyName: 'checkout_intents_preferred_mechanic_id_fkey';
            columns: ['preferred_mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'checkout_intents_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'diagnostic_sessions': {
        Row: {
          'created_at': string;
          'customer_user_id': string;
          'duration_minutes': number | null;
          'ended_at': string | null;
          'id': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'customer_user_id': string;
          'duration_minutes'?: number | null;
          'ended_at'?: string | null;
          'id'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'started_at'?: string | null;
          'status'?: Database['public']['Enums']['session_status'];
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'customer_user_id'?: string;
          'duration_minutes'?: number | null;
          'ended_at'?: string | null;
          'id'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'started_at'?: string | null;
          'status'?: Database['public']['Enums']['session_status'];
          'updated_at'?: string;
        };
        Relationships: [];
      };
      'extension_options': {
        Row: {
          'created_at': string;
          'currency': string;
          'is_active': boolean;
          'minutes': number;
          'price_cents': number;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'currency'?: string;
          'is_active'?: boolean;
          'minutes': number;
          'price_cents': number;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'currency'?: string;
          'is_active'?: boolean;
          'minutes'?: number;
          'price_cents'?: number;
          'updated_at'?: string;
        };
        Relationships: [];
      };
      'mechanic_earnings': {
        Row: {
          'created_at': string;
          'currency': string;
          'gross_cents': number;
          'mechanic_id': string;
          'platform_cents': number;
          'referral_cents': number;
          'session_id': string;
          'share_cents': number;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'currency': string;
          'gross_cents': number;
          'mechanic_id': string;
          'platform_cents': number;
          'referral_cents': number;
          'session_id': string;
          'share_cents': number;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'currency'?: string;
          'gross_cents'?: number;
          'mechanic_id'?: string;
          'platform_cents'?: number;
          'referral_cents'?: number;
          'session_id'?: string;
          'share_cents'?: number;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'mechanic_earnings_mechanic_id_fkey';
            columns: ['mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'mechanic_earnings_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: true;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'mechanics': {
        Row: {
          'created_at': string;
          'id': string;
          'is_accepting': boolean;
          'referral_code': string;
          'referred_by': string | null;
          'specialties': (string)[];
          'status': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'id': string;
          'is_accepting'?: boolean;
          'referral_code'?: string;
          'referred_by'?: string | null;
          'specialties'?: (string)[];
          'status'?: string;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'id'?: string;
          'is_accepting'?: boolean;
          'referral_code'?: string;
          'referred_by'?: string | null;
          'specialties'?: (string)[];
          'status'?: string;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'mechanics_id_fkey';
            columns: ['id'];
            isOneToOne: true;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'mechanics_referred_by_fkey';
            columns: ['referred_by'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
        ];
      };
      'notifications': {
        Row: {
          'about': string;
          'body': string;
          'created_at': string;
          'id': string;
          'kind': string;
          'read_at': string | null;
          'session_id': string | null;
          'title': string;
          'user_id': string;
        };
        ComputedFields: never;
        Insert: {
          'about': string;
          'body': string;
          'created_at'?: string;
          'id'?: string;
          'kind': string;
          'read_at'?: string | null;
          'session_id'?: string | null;
          'title': string;
          'user_id': string;
        };
        Update: {
          'about'?: string;
          'body'?: string;
          'created_at'?: string;
          'id'?: string;
          'kind'?: string;
          'read_at'?: string | null;
          'session_id'?: string | null;
          'title'?: string;
          'user_id'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'notifications_user_id_fkey';
            columns: ['user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
        ];
      };
      'payouts': {
        Row: {
          'amount_cents': number;
          'blocked_by': string | null;
          'created_at': string;
          'currency': string;
          'due_at': string;
          'id': string;
          'kind': string;
          'reversed_cents': number;
          'session_id': string | null;
          'source_id': string;
          'status': string;
          'stripe_transfer_id': string | null;
          'updated_at': string;
          'user_id': string;
        };
        ComputedFields: never;
        Insert: {
          'amount_cents': number;
          'blocked_by'?: string | null;
          'created_at'?: string;
          'currency': string;
          'due_at': string;
          'id'?: string;
          'kind': string;
          'reversed_cents'?: number;
          'session_id'?: string | null;
          'source_id': string;
          'status'?: string;
          'stripe_transfer_id'?: string | null;
          'updated_at'?: string;
          'user_id': string;
        };
        Update: {
          'amount_cents'?: number;
          'blocked_by'?: string | null;
          'created_at'?: string;
          'currency'?: string;
          'due_at'?: string;
          'id'?: string;
          'kind'?: string;
          'reversed_cents'?: number;
          'session_id'?: string | null;
          'source_id'?: string;
          'status'?: string;
          'stripe_transfer_id'?: string | null;
          'updated_at'?: string;
          'user_id'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'payouts_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'payouts_user_id_fkey';
            columns: ['user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
        ];
      };
      'plans': {
        Row: {
          'created_at': string;
          'currency': string;
          'duration_minutes': number;
          'is_active': boolean;
          'is_free_eligible': boolean;
          'price_cents': number;
          'slug': string;
          'title': string;
          'type': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'currency'?: string;
          'duration_minutes': number;
          'is_active'?: boolean;
          'is_free_eligible'?: boolean;
          'price_cents': number;
          'slug': string;
          'title': string;
          'type': string;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'currency'?: string;
          'duration_minutes'?: number;
          'is_active'?: boolean;
          'is_free_eligible'?: boolean;
          'price_cents'?: number;
          'slug'?: string;
          'title'?: string;
          'type'?: string;
          'updated_at'?: string;
        };
        Relationships: [];
      };
      'profiles': {
        Row: {
          'created_at': string;
          'deleted_at': string | null;
          'display_name': string | null;
          'email': string | null;
          'id': string;
          'role': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'deleted_at'?: string | null;
          'display_name'?: string | null;
          'email'?: string | null;
          'id': string;
          'role'?: string;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'deleted_at'?: string | null;
          'display_name'?: string | null;
          'email'?: string | null;
          'id'?: string;
          'role'?: string;
          'updated_at'?: string;
        };
        Relationships: [];
      };
      'repair_quotes': {
        Row: {
          'amount_cents': number;
          'bonus_cents': number | null;
          'bonus_confirmed_at': string | null;
          'created_at': string;
          'currency': string;
          'decided_at': string | null;
          'description': string;
          'id': string;
          'mechanic_id': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'amount_cents': number;
          'bonus_cents'?: number | null;
          'bonus_confirmed_at'?: string | null;
          'created_at'?: string;
          'currency': string;
          'decided_at'?: string | null;
          'description': string;
          'id'?: string;
          'mechanic_id': string;
          'session_id': string;
          'status'?: string;
          'updated_at'?: string;
        };
        Update: {
          'amount_cents'?: number;
          'bonus_cents'?: number | null;
          'bonus_confirmed_at'?: string | null;
          'created_at'?: string;
          'currency'?: string;
          'decided_at'?: string | null;
          'description'?: string;
          'id'?: string;
          'mechanic_id'?: string;
          'session_id'?: string;
          'status'?: string;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'repair_quotes_mechanic_id_fkey';
            columns: ['mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'repair_quotes_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_assignments': {
        Row: {
          'accepted_at': string | null;
          'announced_at': string | null;
          'closed_at': string | null;
          'created_at': string;
          'id': string;
          'mechanic_id': string | null;
          'preferred_mechanic_id': string | null;
          'session_id': string;
          'status': string;
          'updated_at': string;
          'visible_to_all_at': string;
        };
        ComputedFields: never;
        Insert: {
          'accepted_at'?: string | null;
          'announced_at'?: string | null;
          'closed_at'?: string | null;
          'created_at'?: string;
          'id'?: string;
          'mechanic_id'?: string | null;
          'preferred_mechanic_id'?: string | null;
          'session_id': string;
          'status'?: string;
          'updated_at'?: string;
          'visible_to_all_at'?: string;
        };
        Update: {
          'accepted_at'?: string | null;
          'announced_at'?: string | null;
          'closed_at'?: string | null;
          'created_at'?: string;
          'id'?: string;
          'mechanic_id'?: string | null;
          'preferred_mechanic_id'?: string | null;
          'session_id'?: string;
          'status'?: string;
          'updated_at'?: string;
          'visible_to_all_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_assignments_mechanic_id_fkey';
            columns: ['mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_assignments_preferred_mechanic_id_fkey';
            columns: ['preferred_mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_assignments_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: true;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_events': {
        Row: {
          'actor_id': string | null;
          'actor_role': string;
          'created_at': string;
          'id': number;
          'occurred_at': string;
          'payload': NonNullable<Json>;
          'session_id': string;
          'source': string;
          'type': string;
          'version': number;
        };
        ComputedFields: never;
        Insert: {
          'actor_id'?: string | null;
          'actor_role': string;
          'created_at'?: string;
          'id'?: never;
          'occurred_at'?: string;
          'payload'?: NonNullable<Json>;
          'session_id': string;
          'source'?: string;
          'type': string;
          'version': number;
        };
        Update: {
          'actor_id'?: string | null;
          'actor_role'?: string;
          'created_at'?: string;
          'id'?: never;
          'occurred_at'?: string;
          'payload'?: NonNullable<Json>;
          'session_id'?: string;
          'source'?: string;
          'type'?: string;
          'version'?: number;
        };
        Relationships: [];
      };
      'session_extensions': {
        Row: {
          'applied_at': string | null;
          'created_at': string;
          'currency': string;
          'id': string;
          'minutes': number;
          'price_cents': number;
          'requested_by': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'applied_at'?: string | null;
          'created_at'?: string;
          'currency': string;
          'id'?: string;
          'minutes': number;
          'price_cents': number;
          'requested_by': string;
          'session_id': string;
          'status'?: string;
          'updated_at'?: string;
        };
        Update: {
          'applied_at'?: string | null;
          'created_at'?: string;
          'currency'?: string;
          'id'?: string;
          'minutes'?: number;
          'price_cents'?: number;
          'requested_by'?: string;
          'session_id'?: string;
          'status'?: string;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_extensions_requested_by_fkey';
            columns: ['requested_by'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_extensions_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_files': {
        Row: {
          'created_at': string;
          'id': string;
          'name': string;
          'session_id': string;
          'size': number;
          'storage_path': string;
          'type': string;
          'uploaded_by': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'id'?: string;
          'name': string;
          'session_id': string;
          'size': number;
          'storage_path': string;
          'type': string;
          'uploaded_by': string;
        };
        Update: {
          'created_at'?: string;
          'id'?: string;
          'name'?: string;
          'session_id'?: string;
          'size'?: number;
          'storage_path'?: string;
          'type'?: string;
          'uploaded_by'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_files_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_files_uploaded_by_fkey';
            columns: ['uploaded_by'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_messages': {
        Row: {
          'client_id': string | null;
          'content': string;
          'created_at': string;
          'file_ids': (string)[];
          'id': string;
          'sender_id': string;
          'session_id': string;
        };
        ComputedFields: never;
        Insert: {
          'client_id'?: string | null;
          'content': string;
          'created_at'?: string;
          'file_ids'?: (string)[];
          'id'?: string;
          'sender_id': string;
          'session_id': string;
        };
        Update: {
          'client_id'?: string | null;
          'content'?: string;
          'created_at'?: string;
          'file_ids'?: (string)[];
          'id'?: string;
          'sender_id'?: string;
          'session_id'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_messages_sender_id_fkey';
            columns: ['sender_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_messages_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_participants': {
        Row: {
          'closed_at': string | null;
          'created_at': string;
          'first_joined_at': string | null;
          'is_connected': boolean;
          'joined_by_video_at': string | null;
          'last_seen_at': string | null;
          'left_at': string | null;
          'presence_check_at': string | null;
          'role': string;
          'session_id': string;
          'updated_at': string;
          'user_id': string;
        };
        ComputedFields: never;
        Insert: {
          'closed_at'?: string | null;
          'created_at'?: string;
          'first_joined_at'?: string | null;
          'is_connected'?: boolean;
          'joined_by_video_at'?: string | null;
          'last_seen_at'?: string | null;
          'left_at'?: string | null;
          'presence_check_at'?: string | null;
          'role': string;
          'session_id': string;
          'updated_at'?: string;
          'user_id': string;
        };
        Update: {
          'closed_at'?: string | null;
          'created_at'?: string;
          'first_joined_at'?: string | null;
          'is_connected'?: boolean;
          'joined_by_video_at'?: string | null;
          'last_seen_at'?: string | null;
          'left_at'?: string | null;
          'presence_check_at'?: string | null;
          'role'?: string;
          'session_id'?: string;
          'updated_at'?: string;
          'user_id'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_participants_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_participants_user_id_fkey';
            columns: ['user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
        ];
      };
      'session_requests': {
        Row: {
          'accepted_at': string | null;
          'created_at': string;
          'customer_id': string | null;
          'id': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'plan_code': string | null;
          'session_id': string | null;
          'session_type': string | null;
          'status': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'accepted_at'?: string | null;
          'created_at'?: string;
          'customer_id'?: string | null;
          'id'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'plan_code'?: string | null;
          'session_id'?: string | null;
          'session_type'?: string | null;
          'status'?: string;
          'updated_at'?: string;
        };
        Update: {
          'accepted_at'?: string | null;
          'created_at'?: string;
          'customer_id'?: string | null;
          'id'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'plan_code'?: string | null;
          'session_id'?: string | null;
          'session_type'?: string | null;
          'status'?: string;
          'updated_at'?: string;
        };
        Relationships: [];
      };
      'session_upsells': {
        Row: {
          'created_at': string;
          'customer_user_id': string;
          'id': string;
          'kind': string;
          'session_id': string;
          'status': string;
          'target_plan': string;
          'title': string;
          'updated_at': string;
        };
        ComputedFields: never;
        Insert: {
          'created_at'?: string;
          'customer_user_id': string;
          'id'?: string;
          'kind': string;
          'session_id': string;
          'status'?: string;
          'target_plan': string;
          'title': string;
          'updated_at'?: string;
        };
        Update: {
          'created_at'?: string;
          'customer_user_id'?: string;
          'id'?: string;
          'kind'?: string;
          'session_id'?: string;
          'status'?: string;
          'target_plan'?: string;
          'title'?: string;
          'updated_at'?: string;
        };
        Relationships: [
          {
            foreignKeyName: 'session_upsells_customer_user_id_fkey';
            columns: ['customer_user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_upsells_session_id_fkey';
            columns: ['session_id'];
            isOneToOne: false;
            referencedRelation: 'sessions';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'session_upsells_target_plan_fkey';
            columns: ['target_plan'];
            isOneToOne: false;
            referencedRelation: 'plans';
            referencedColumns: ['slug'];
          },
        ];
      };
      'sessions': {
        Row: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
          'effective_status': Database['public']['Enums']['session_status'] | null;
        };
        ComputedFields: 'effective_status';
        Insert: {
          'accepted_at'?: string | null;
          'billable_seconds'?: number | null;
          'both_present_seconds'?: number | null;
          'created_at'?: string;
          'currency': string;
          'customer_user_id': string;
          'due_at'?: never;
          'duration_minutes': number;
          'duration_seconds'?: number | null;
          'end_note'?: string | null;
          'end_reason'?: string | null;
          'ended_at'?: string | null;
          'ended_by'?: string | null;
          'expires_at'?: string | null;
          'funding': string;
          'grace_ends_at'?: string | null;
          'id'?: string;
          'intake'?: NonNullable<Json>;
          'interrupted_at'?: string | null;
          'last_event_at'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'next_warning_at'?: string | null;
          'plan': string;
          'preferred_mechanic_id'?: string | null;
          'price_cents': number;
          'scheduled_for'?: string | null;
          'started_at'?: string | null;
          'status'?: Database['public']['Enums']['session_status'];
          'summary_submitted_at'?: string | null;
          'type': string;
          'updated_at'?: string;
          'version'?: number;
        };
        Update: {
          'accepted_at'?: string | null;
          'billable_seconds'?: number | null;
          'both_present_seconds'?: number | null;
          'created_at'?: string;
          'currency'?: string;
          'customer_user_id'?: string;
          'due_at'?: never;
          'duration_minutes'?: number;
          'duration_seconds'?: number | null;
          'end_note'?: string | null;
          'end_reason'?: string | null;
          'ended_at'?: string | null;
          'ended_by'?: string | null;
          'expires_at'?: string | null;
          'funding'?: string;
          'grace_ends_at'?: string | null;
          'id'?: string;
          'intake'?: NonNullable<Json>;
          'interrupted_at'?: string | null;
          'last_event_at'?: string;
          'mechanic_id'?: string | null;
          'metadata'?: NonNullable<Json>;
          'next_warning_at'?: string | null;
          'plan'?: string;
          'preferred_mechanic_id'?: string | null;
          'price_cents'?: number;
          'scheduled_for'?: string | null;
          'started_at'?: string | null;
          'status'?: Database['public']['Enums']['session_status'];
          'summary_submitted_at'?: string | null;
          'type'?: string;
          'updated_at'?: string;
          'version'?: number;
        };
        Relationships: [
          {
            foreignKeyName: 'sessions_customer_user_id_fkey';
            columns: ['customer_user_id'];
            isOneToOne: false;
            referencedRelation: 'profiles';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'sessions_mechanic_id_fkey';
            columns: ['mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
          {
            foreignKeyName: 'sessions_plan_fkey';
            columns: ['plan'];
            isOneToOne: false;
            referencedRelation: 'plans';
            referencedColumns: ['slug'];
          },
          {
            foreignKeyName: 'sessions_preferred_mechanic_id_fkey';
            columns: ['preferred_mechanic_id'];
            isOneToOne: false;
            referencedRelation: 'mechanics';
            referencedColumns: ['id'];
          },
        ];
      };
    };
    Views: {
      'alert_both_present_not_live': {
        Row: {
          'detail': Json | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'alert_completed_without_payout': {
        Row: {
          'detail': Json | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'alert_live_past_deadline': {
        Row: {
          'detail': Json | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'alert_rates': {
        Row: {
          'detail': Json | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'alert_status_mismatch': {
        Row: {
          'detail': Json | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'metrics_mechanics': {
        Row: {
          'accepted': number | null;
          'completed': number | null;
          'day': string | null;
          'declined': number | null;
          'in_review': number | null;
          'mechanic_id': string | null;
          'no_shows': number | null;
          'offered': number | null;
          'released': number | null;
          'too_short': number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'metrics_session_durations': {
        Row: {
          'average_seconds': number | null;
          'bought_minutes': number | null;
          'day': string | null;
          'p50_seconds': number | null;
          'p95_seconds': number | null;
          'plan': string | null;
          'sessions': number | null;
          'type': string | null;
          'used_minutes': number | null;
          'used_rate': number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'metrics_session_outcomes': {
        Row: {
          'cancelled': number | null;
          'completed': number | null;
          'completion_rate': number | null;
          'created': number | null;
          'day': string | null;
          'ended': number | null;
          'expired': number | null;
          'expired_rate': number | null;
          'funding': string | null;
          'no_show_rate': number | null;
          'no_shows_customer': number | null;
          'no_shows_mechanic': number | null;
          'plan': string | null;
          'refunded': number | null;
          'type': string | null;
          'unattended': number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'metrics_wait_times': {
        Row: {
          'accepted': number | null;
          'declined': number | null;
          'hour': string | null;
          'longest_waiting_seconds': number | null;
          'queue_depth': number | null;
          'released': number | null;
          'started': number | null;
          'to_accept_p50_seconds': number | null;
          'to_accept_p95_seconds': number | null;
          'to_start_p50_seconds': number | null;
          'to_start_p95_seconds': number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'session_revenue_impact': {
        Row: {
          'currency': string | null;
          'day': string | null;
          'gross_cents': number | null;
          'lost_to_no_shows_cents': number | null;
          'owed_cents': number | null;
          'paid_out_cents': number | null;
          'platform_cents': number | null;
          'refunded_cents': number | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
      'sessions_needing_review': {
        Row: {
          'command': string | null;
          'detail': Json | null;
          'kind': string | null;
          'session_id': string | null;
          'severity': string | null;
          'since': string | null;
          'subject': string | null;
        };
        ComputedFields: never;
        Relationships: [];
      };
    };
    Functions: {
      'accept_assignment': {
        Args: { 'p_assignment_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'apply_as_mechanic': {
        Args: { 'p_referral_code'?: string; 'p_specialties': (string)[] };
        Returns: {
          'created_at': string;
          'id': string;
          'is_accepting': boolean;
          'referral_code': string;
          'referred_by': string | null;
          'specialties': (string)[];
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'mechanics';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'apply_semantic_fix': {
        Args: { 'p_dry_run'?: boolean; 'p_min_billable_seconds'?: number };
        Returns: Database['public']['CompositeTypes']['semantic_fix'][];
        SetofOptions: {
          from: '*';
          to: 'semantic_fix';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'archive_session_requests': { Args: { 'p_before': string }; Returns: number };
      'archive_sessions': { Args: { 'p_before': string; 'p_limit'?: number }; Returns: number };
      'calculate_session_expiry': {
        Args: { 'p_duration_minutes': number; 'p_started_at': string };
        Returns: string;
      };
      'calculate_session_health_score': {
        Args: { 'p_hours'?: number };
        Returns: Database['public']['CompositeTypes']['session_health'][];
        SetofOptions: {
          from: '*';
          to: 'session_health';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'claim_outbox': {
        Args: { 'p_lease_seconds'?: number; 'p_limit'?: number; 'p_worker': string };
        Returns: Database['public']['CompositeTypes']['outbox_claim'][];
        SetofOptions: {
          from: '*';
          to: 'outbox_claim';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'complete_outbox': {
        Args: { 'p_id': number; 'p_lease_token': string; 'p_result'?: Json };
        Returns: boolean;
      };
      'confirm_quote_bonus': {
        Args: { 'p_quote_id': string };
        Returns: {
          'amount_cents': number;
          'bonus_cents': number | null;
          'bonus_confirmed_at': string | null;
          'created_at': string;
          'currency': string;
          'decided_at': string | null;
          'description': string;
          'id': string;
          'mechanic_id': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'repair_quotes';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'create_session': {
        Args: {
          'p_funding'?: string;
          'p_idempotency_key'?: string;
          'p_intake'?: Json;
          'p_plan': string;
          'p_preferred_mechanic_id'?: string;
          'p_scheduled_for'?: string;
        };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'decide_quote': {
        Args: { 'p_approve': boolean; 'p_quote_id': string };
        Returns: {
          'amount_cents': number;
          'bonus_cents': number | null;
          'bonus_confirmed_at': string | null;
          'created_at': string;
          'currency': string;
          'decided_at': string | null;
          'description': string;
          'id': string;
          'mechanic_id': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'repair_quotes';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'decline_assignment': {
        Args: { 'p_assignment_id': string; 'p_reason'?: string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'effective_status': {
        Args: { '': Database['public']['Tables']['sessions']['Row'] };
        Returns:
          & { error: true }
          & 'the function public.effective_status with parameter or with a single unnamed json/jsonb parameter, but no matches were found in the schema cache';
      };
      'end_expired_sessions': { Args: { 'p_limit'?: number }; Returns: number };
      'end_session_with_semantics': {
        Args: { 'p_reason'?: string; 'p_session_id': string };
        Returns: Database['public']['CompositeTypes']['session_end_result'];
        SetofOptions: {
          from: '*';
          to: 'session_end_result';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'escalate_quote': {
        Args: { 'p_amount_cents': number; 'p_description': string; 'p_session_id': string };
        Returns: {
          'amount_cents': number;
          'bonus_cents': number | null;
          'bonus_confirmed_at': string | null;
          'created_at': string;
          'currency': string;
          'decided_at': string | null;
          'description': string;
          'id': string;
          'mechanic_id': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'repair_quotes';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'expire_orphaned_sessions': { Args: { 'p_limit'?: number }; Returns: number };
      'explain_session': { Args: { 'p_session_id': string }; Returns: Json };
      'fail_outbox': {
        Args: {
          'p_ambiguous'?: boolean;
          'p_error': string;
          'p_id': number;
          'p_lease_token': string;
        };
        Returns: boolean;
      };
      'get_active_session': {
        Args: Record<PropertyKey, never>;
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: true;
        };
      };
      'get_session_summary': { Args: { 'p_session_id': string }; Returns: Json };
      'grant_credit': {
        Args: {
          'p_amount_cents': number;
          'p_currency': string;
          'p_key': string;
          'p_note'?: string;
          'p_user_id': string;
        };
        Returns: Json;
      };
      'heartbeat_session': {
        Args: { 'p_session_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'import_legacy_sessions': {
        Args: { 'p_dry_run'?: boolean };
        Returns: Database['public']['CompositeTypes']['legacy_row'][];
        SetofOptions: {
          from: '*';
          to: 'legacy_row';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'ingest_stripe_event': { Args: { 'p_event': Json }; Returns: Json };
      'join_session': {
        Args: { 'p_session_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'leave_session': {
        Args: { 'p_session_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'ledger_invariants': {
        Args: { 'p_since'?: string };
        Returns: Database['public']['CompositeTypes']['ledger_violation'][];
        SetofOptions: {
          from: '*';
          to: 'ledger_violation';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'list_session_files': {
        Args: { 'p_session_id': string };
        Returns: {
          'created_at': string;
          'id': string;
          'name': string;
          'session_id': string;
          'size': number;
          'storage_path': string;
          'type': string;
          'uploaded_by': string;
        }[];
        SetofOptions: {
          from: '*';
          to: 'session_files';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'list_settings': {
        Args: Record<PropertyKey, never>;
        Returns: Database['public']['CompositeTypes']['setting'][];
        SetofOptions: {
          from: '*';
          to: 'setting';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'mark_notifications_read': { Args: { 'p_ids': (string)[] }; Returns: number };
      'mark_session_unattended': {
        Args: { 'p_session_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'mechanic_queue': {
        Args: { 'p_limit'?: number };
        Returns: Database['public']['CompositeTypes']['queue_entry'][];
        SetofOptions: {
          from: '*';
          to: 'queue_entry';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'monitor_sessions': { Args: Record<PropertyKey, never>; Returns: Json };
      'my_credit': { Args: Record<PropertyKey, never>; Returns: Json };
      'my_earnings': {
        Args: { 'p_from'?: string; 'p_to'?: string };
        Returns: Database['public']['CompositeTypes']['earning'][];
        SetofOptions: {
          from: '*';
          to: 'earning';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'my_sessions': {
        Args: {
          'p_before'?: string;
          'p_limit'?: number;
          'p_role'?: string;
          'p_status'?: (string)[];
        };
        Returns: Database['public']['CompositeTypes']['my_session'][];
        SetofOptions: {
          from: '*';
          to: 'my_session';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'payout_account': { Args: Record<PropertyKey, never>; Returns: Json };
      'preview_end': {
        Args: { 'p_session_id': string };
        Returns: Database['public']['CompositeTypes']['session_end_result'];
        SetofOptions: {
          from: '*';
          to: 'session_end_result';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'record_checkout': {
        Args: {
          'p_checkout_session_id': string;
          'p_payment_intent_id'?: string;
          'p_purpose': string;
          'p_purpose_id': string;
        };
        Returns: string;
      };
      'record_presence_event': {
        Args: {
          'p_event': string;
          'p_event_id': string;
          'p_identity': string;
          'p_occurred_at': string;
          'p_session_id': string;
        };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'recorded_checkout': {
        Args: { 'p_purpose': string; 'p_purpose_id': string };
        Returns: string;
      };
      'refund_payment': {
        Args: {
          'p_amount_cents'?: number;
          'p_key': string;
          'p_payment_id': string;
          'p_reason'?: string;
        };
        Returns: Json;
      };
      'refund_session': {
        Args: {
          'p_amount_cents'?: number;
          'p_key': string;
          'p_reason'?: string;
          'p_session_id': string;
        };
        Returns: Database['public']['CompositeTypes']['session_refund'];
        SetofOptions: {
          from: '*';
          to: 'session_refund';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'register_session_file': {
        Args: {
          'p_name': string;
          'p_session_id': string;
          'p_size': number;
          'p_storage_path': string;
          'p_type': string;
        };
        Returns: {
          'created_at': string;
          'id': string;
          'name': string;
          'session_id': string;
          'size': number;
          'storage_path': string;
          'type': string;
          'uploaded_by': string;
        };
        SetofOptions: {
          from: '*';
          to: 'session_files';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'release_assignment': {
        Args: { 'p_assignment_id': string; 'p_reason'?: string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'remove_session_file': {
        Args: { 'p_file_id': string };
        Returns: {
          'created_at': string;
          'id': string;
          'name': string;
          'session_id': string;
          'size': number;
          'storage_path': string;
          'type': string;
          'uploaded_by': string;
        };
        SetofOptions: {
          from: '*';
          to: 'session_files';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'repair_money': { Args: { 'p_session_id': string }; Returns: number };
      'repeat_aftermath': { Args: { 'p_session_id': string }; Returns: undefined };
      'replay_session': {
        Args: { 'p_session_id': string };
        Returns: Database['public']['CompositeTypes']['session_replay'];
        SetofOptions: {
          from: '*';
          to: 'session_replay';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'request_checkout': {
        Args: {
          'p_idempotency_key'?: string;
          'p_intake'?: Json;
          'p_plan': string;
          'p_preferred_mechanic_id'?: string;
          'p_scheduled_for'?: string;
        };
        Returns: {
          'arguments_digest': string;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'duration_minutes': number;
          'expires_at': string;
          'id': string;
          'idempotency_key': string | null;
          'intake': NonNullable<Json>;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'session_id': string | null;
          'status': string;
          'stripe_checkout_session_id': string | null;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'checkout_intents';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'request_extension': {
        Args: { 'p_minutes': number; 'p_session_id': string };
        Returns: {
          'applied_at': string | null;
          'created_at': string;
          'currency': string;
          'id': string;
          'minutes': number;
          'price_cents': number;
          'requested_by': string;
          'session_id': string;
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'session_extensions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'requeue_outbox': { Args: { 'p_id': number }; Returns: boolean };
      'resolve_payment': {
        Args: { 'p_action': string; 'p_note'?: string; 'p_payment_id': string };
        Returns: Json;
      };
      'resolve_payout': {
        Args: { 'p_action': string; 'p_payout_id': string; 'p_stripe_transfer_id'?: string };
        Returns: {
          'amount_cents': number;
          'blocked_by': string | null;
          'created_at': string;
          'currency': string;
          'due_at': string;
          'id': string;
          'kind': string;
          'reversed_cents': number;
          'session_id': string | null;
          'source_id': string;
          'status': string;
          'stripe_transfer_id': string | null;
          'updated_at': string;
          'user_id': string;
        };
        SetofOptions: {
          from: '*';
          to: 'payouts';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'resolve_review': { Args: { 'p_note'?: string; 'p_session_id': string }; Returns: number };
      'respond_to_upsell': {
        Args: { 'p_accept': boolean; 'p_id': string };
        Returns: {
          'created_at': string;
          'customer_user_id': string;
          'id': string;
          'kind': string;
          'session_id': string;
          'status': string;
          'target_plan': string;
          'title': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'session_upsells';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'retry_stripe_event': { Args: { 'p_event_id': string }; Returns: Json };
      'send_session_message': {
        Args: {
          'p_client_id'?: string;
          'p_content': string;
          'p_file_ids'?: (string)[];
          'p_session_id': string;
        };
        Returns: {
          'client_id': string | null;
          'content': string;
          'created_at': string;
          'file_ids': (string)[];
          'id': string;
          'sender_id': string;
          'session_id': string;
        };
        SetofOptions: {
          from: '*';
          to: 'session_messages';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'session_health_dashboard': {
        Args: Record<PropertyKey, never>;
        Returns: Database['public']['CompositeTypes']['health_metric'][];
        SetofOptions: {
          from: '*';
          to: 'health_metric';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'session_people': {
        Args: { 'p_session_id': string };
        Returns: Database['public']['CompositeTypes']['session_person'][];
        SetofOptions: {
          from: '*';
          to: 'session_person';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'session_snapshot': { Args: { 'p_session_id': string }; Returns: Json };
      'sessions_awaiting_summary': {
        Args: Record<PropertyKey, never>;
        Returns: Database['public']['CompositeTypes']['awaited_summary'][];
        SetofOptions: {
          from: '*';
          to: 'awaited_summary';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'set_availability': {
        Args: { 'p_is_accepting': boolean };
        Returns: {
          'created_at': string;
          'id': string;
          'is_accepting': boolean;
          'referral_code': string;
          'referred_by': string | null;
          'specialties': (string)[];
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'mechanics';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'set_extension_option': {
        Args: {
          'p_currency'?: string;
          'p_is_active'?: boolean;
          'p_minutes': number;
          'p_price_cents'?: number;
        };
        Returns: {
          'created_at': string;
          'currency': string;
          'is_active': boolean;
          'minutes': number;
          'price_cents': number;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'extension_options';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'set_mechanic_status': {
        Args: { 'p_mechanic_id': string; 'p_note'?: string; 'p_status': string };
        Returns: {
          'created_at': string;
          'id': string;
          'is_accepting': boolean;
          'referral_code': string;
          'referred_by': string | null;
          'specialties': (string)[];
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'mechanics';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'set_plan': {
        Args: {
          'p_currency'?: string;
          'p_duration_minutes'?: number;
          'p_is_active'?: boolean;
          'p_is_free_eligible'?: boolean;
          'p_price_cents'?: number;
          'p_slug': string;
          'p_title'?: string;
          'p_type'?: string;
        };
        Returns: {
          'created_at': string;
          'currency': string;
          'duration_minutes': number;
          'is_active': boolean;
          'is_free_eligible': boolean;
          'price_cents': number;
          'slug': string;
          'title': string;
          'type': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'plans';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'set_setting': {
        Args: { 'p_key': string; 'p_value': Json };
        Returns: Database['public']['CompositeTypes']['setting'];
        SetofOptions: {
          from: '*';
          to: 'setting';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'set_stripe_account': {
        Args: { 'p_account': string; 'p_mechanic_id': string };
        Returns: boolean;
      };
      'set_user_role': {
        Args: { 'p_role': string; 'p_user_id': string };
        Returns: {
          'created_at': string;
          'deleted_at': string | null;
          'display_name': string | null;
          'email': string | null;
          'id': string;
          'role': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'profiles';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'start_session': {
        Args: { 'p_session_id': string };
        Returns: {
          'accepted_at': string | null;
          'billable_seconds': number | null;
          'both_present_seconds': number | null;
          'created_at': string;
          'currency': string;
          'customer_user_id': string;
          'due_at': string | null;
          'duration_minutes': number;
          'duration_seconds': number | null;
          'end_note': string | null;
          'end_reason': string | null;
          'ended_at': string | null;
          'ended_by': string | null;
          'expires_at': string | null;
          'funding': string;
          'grace_ends_at': string | null;
          'id': string;
          'intake': NonNullable<Json>;
          'interrupted_at': string | null;
          'last_event_at': string;
          'mechanic_id': string | null;
          'metadata': NonNullable<Json>;
          'next_warning_at': string | null;
          'plan': string;
          'preferred_mechanic_id': string | null;
          'price_cents': number;
          'scheduled_for': string | null;
          'started_at': string | null;
          'status': Database['public']['Enums']['session_status'];
          'summary_submitted_at': string | null;
          'type': string;
          'updated_at': string;
          'version': number;
        };
        SetofOptions: {
          from: '*';
          to: 'sessions';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'submit_session_summary': {
        Args: {
          'p_file_ids'?: (string)[];
          'p_findings': string;
          'p_next_steps': string;
          'p_parts_list'?: string;
          'p_session_id': string;
          'p_steps': string;
        };
        Returns: Json;
      };
      'tick_sessions': { Args: { 'p_limit'?: number; 'p_seconds'?: number }; Returns: Json };
      'update_mechanic': {
        Args: { 'p_specialties': (string)[] };
        Returns: {
          'created_at': string;
          'id': string;
          'is_accepting': boolean;
          'referral_code': string;
          'referred_by': string | null;
          'specialties': (string)[];
          'status': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'mechanics';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'update_profile': {
        Args: { 'p_display_name': string };
        Returns: {
          'created_at': string;
          'deleted_at': string | null;
          'display_name': string | null;
          'email': string | null;
          'id': string;
          'role': string;
          'updated_at': string;
        };
        SetofOptions: {
          from: '*';
          to: 'profiles';
          isOneToOne: true;
          isSetofReturn: false;
        };
      };
      'verify_replay': {
        Args: { 'p_since'?: string };
        Returns: Database['public']['CompositeTypes']['replay_difference'][];
        SetofOptions: {
          from: '*';
          to: 'replay_difference';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'verify_session_end_logic': {
        Args: { 'p_since'?: string };
        Returns: Database['public']['CompositeTypes']['verification'][];
        SetofOptions: {
          from: '*';
          to: 'verification';
          isOneToOne: false;
          isSetofReturn: true;
        };
      };
      'video_access': { Args: { 'p_session_id': string }; Returns: Json };
    };
    Enums: {
      'session_status':
        | 'pending'
        | 'scheduled'
        | 'accepted'
        | 'waiting'
        | 'live'
        | 'reconnecting'
        | 'completed'
        | 'cancelled'
        | 'expired'
        | 'unattended'
        | 'refunded'
        | 'archived';
    };
    CompositeTypes: {
      'alert': {
        'session_id': string | null;
        'severity': string | null;
        'since': string | null;
        'detail': Json | null;
      };
      'anomaly': {
        'section': number | null;
        'kind': string | null;
        'session_id': string | null;
        'subject': string | null;
        'detail': string | null;
        'command': string | null;
      };
      'awaited_summary': {
        'session_id': string | null;
        'plan': string | null;
        'type': string | null;
        'customer_display_name': string | null;
        'started_at': string | null;
        'ended_at': string | null;
        'duration_seconds': number | null;
      };
      'earning': {
        'kind': string | null;
        'session_id': string | null;
        'gross_cents': number | null;
        'amount_cents': number | null;
        'currency': string | null;
        'payout_status': string | null;
        'due_at': string | null;
        'earned_at': string | null;
        'balance_cents': number | null;
      };
      'health_metric': {
        'category': string | null;
        'metric': string | null;
        'value': number | null;
        'unit': string | null;
        'status': string | null;
        'detail': Json | null;
      };
      'ledger_violation': {
        'invariant': string | null;
        'subject': string | null;
        'detail': Json | null;
      };
      'legacy_row': {
        'source': string | null;
        'id': string | null;
        'action': string | null;
        'status_before': string | null;
        'status_after': string | null;
        'note': string | null;
      };
      'my_session': {
        'id': string | null;
        'customer_user_id': string | null;
        'mechanic_id': string | null;
        'preferred_mechanic_id': string | null;
        'plan': string | null;
        'type': string | null;
        'status': Database['public']['Enums']['session_status'] | null;
        'funding': string | null;
        'price_cents': number | null;
        'currency': string | null;
        'intake': Json | null;
        'scheduled_for': string | null;
        'accepted_at': string | null;
        'started_at': string | null;
        'ended_at': string | null;
        'expires_at': string | null;
        'duration_minutes': number | null;
        'duration_seconds': number | null;
        'billable_seconds': number | null;
        'both_present_seconds': number | null;
        'interrupted_at': string | null;
        'grace_ends_at': string | null;
        'next_warning_at': string | null;
        'end_reason': string | null;
        'ended_by': string | null;
        'end_note': string | null;
        'summary_submitted_at': string | null;
        'metadata': Json | null;
        'version': number | null;
        'last_event_at': string | null;
        'due_at': string | null;
        'created_at': string | null;
        'updated_at': string | null;
        'my_role': string | null;
        'other_display_name': string | null;
        'summary': Json | null;
        'refunded_cents': number | null;
      };
      'outbox_claim': {
        'id': number | null;
        'topic': string | null;
        'key': string | null;
        'idempotency_key': string | null;
        'payload': Json | null;
        'session_id': string | null;
        'attempts': number | null;
        'must_look_first': boolean | null;
        'lease_token': string | null;
        'leased_until': string | null;
        'created_at': string | null;
      };
      'queue_entry': {
        'assignment_id': string | null;
        'session_id': string | null;
        'plan': string | null;
        'type': string | null;
        'intake': Json | null;
        'customer_display_name': string | null;
        'scheduled_for': string | null;
        'waiting_seconds': number | null;
        'is_preferred': boolean | null;
        'created_at': string | null;
      };
      'replay_difference': {
        'session_id': string | null;
        'difference': Json | null;
      };
      'review_item': {
        'kind': string | null;
        'session_id': string | null;
        'subject': string | null;
        'severity': string | null;
        'since': string | null;
        'detail': Json | null;
        'command': string | null;
      };
      'semantic_fix': {
        'session_id': string | null;
        'status_before': Database['public']['Enums']['session_status'] | null;
        'status_after': Database['public']['Enums']['session_status'] | null;
        'before': Json | null;
        'after': Json | null;
      };
      'session_end_result': {
        'session_id': string | null;
        'final_status': Database['public']['Enums']['session_status'] | null;
        'already_ended': boolean | null;
        'started': boolean | null;
        'started_at': string | null;
        'ended_at': string | null;
        'duration_seconds': number | null;
        'billable_seconds': number | null;
        'reason': string | null;
        'payout_cents': number | null;
        'refund_cents': number | null;
        'currency': string | null;
      };
      'session_health': {
        'period_start': string | null;
        'period_end': string | null;
        'total': number | null;
        'completed': number | null;
        'cancelled': number | null;
        'expired': number | null;
        'anomalies': number | null;
        'score': number | null;
        'grade': string | null;
      };
      'session_person': {
        'user_id': string | null;
        'role': string | null;
        'display_name': string | null;
        'specialties': (string)[] | null;
      };
      'session_refund': {
        'session_id': string | null;
        'key': string | null;
        'amount_cents': number | null;
        'currency': string | null;
        'to_card_cents': number | null;
        'to_credit_cents': number | null;
        'created_at': string | null;
      };
      'session_replay': {
        'session_id': string | null;
        'status': Database['public']['Enums']['session_status'] | null;
        'version': number | null;
        'mechanic_id': string | null;
        'accepted_at': string | null;
        'started_at': string | null;
        'expires_at': string | null;
        'ended_at': string | null;
        'duration_minutes': number | null;
        'duration_seconds': number | null;
        'billable_seconds': number | null;
        'end_reason': string | null;
        'summary_submitted_at': string | null;
        'events': number | null;
        'is_complete': boolean | null;
      };
      'setting': {
        'key': string | null;
        'value': Json | null;
        'description': string | null;
        'updated_at': string | null;
      };
      'verification': {
        'section': number | null;
        'name': string | null;
        'status': string | null;
        'anomalies': number | null;
        'detail': Json | null;
      };
    };
  };
};

type DatabaseWithoutInternals = Omit<Database, '__InternalSupabase'>;

type DefaultSchema = DatabaseWithoutInternals[Extract<keyof Database, 'public'>];

export type Tables<
  DefaultSchemaTableNameOrOptions extends
    | keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof (
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
      & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views']
    )
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals } ? (
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    & DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Views']
  )[TableName] extends {
    Row: infer R;
  } ? R
  : never
  : DefaultSchemaTableNameOrOptions extends keyof (DefaultSchema['Tables'] & DefaultSchema['Views'])
    ? (DefaultSchema['Tables'] & DefaultSchema['Views'])[DefaultSchemaTableNameOrOptions] extends {
      Row: infer R;
    } ? R
    : never
  : never;

export type TablesInsert<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends
    {
      Insert: infer I;
    } ? I
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
      Insert: infer I;
    } ? I
    : never
  : never;

export type TablesUpdate<
  DefaultSchemaTableNameOrOptions extends
    | keyof DefaultSchema['Tables']
    | { schema: keyof DatabaseWithoutInternals },
  TableName extends DefaultSchemaTableNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables']
    : never = never,
> = DefaultSchemaTableNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaTableNameOrOptions['schema']]['Tables'][TableName] extends
    {
      Update: infer U;
    } ? U
  : never
  : DefaultSchemaTableNameOrOptions extends keyof DefaultSchema['Tables']
    ? DefaultSchema['Tables'][DefaultSchemaTableNameOrOptions] extends {
      Update: infer U;
    } ? U
    : never
  : never;

export type Enums<
  DefaultSchemaEnumNameOrOptions extends
    | keyof DefaultSchema['Enums']
    | { schema: keyof DatabaseWithoutInternals },
  EnumName extends DefaultSchemaEnumNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums']
    : never = never,
> = DefaultSchemaEnumNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[DefaultSchemaEnumNameOrOptions['schema']]['Enums'][EnumName]
  : DefaultSchemaEnumNameOrOptions extends keyof DefaultSchema['Enums']
    ? DefaultSchema['Enums'][DefaultSchemaEnumNameOrOptions]
  : never;

export type CompositeTypes<
  PublicCompositeTypeNameOrOptions extends
    | keyof DefaultSchema['CompositeTypes']
    | { schema: keyof DatabaseWithoutInternals },
  CompositeTypeName extends PublicCompositeTypeNameOrOptions extends {
    schema: keyof DatabaseWithoutInternals;
  } ? keyof DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes']
    : never = never,
> = PublicCompositeTypeNameOrOptions extends { schema: keyof DatabaseWithoutInternals }
  ? DatabaseWithoutInternals[PublicCompositeTypeNameOrOptions['schema']]['CompositeTypes'][
    CompositeTypeName
  ]
  : PublicCompositeTypeNameOrOptions extends keyof DefaultSchema['CompositeTypes']
    ? DefaultSchema['CompositeTypes'][PublicCompositeTypeNameOrOptions]
  : never;

export const Constants = {
  'public': {
    Enums: {
      'session_status': [
        'pending',
        'scheduled',
        'accepted',
        'waiting',
        'live',
        'reconnecting',
        'completed',
        'cancelled',
        'expired',
        'unattended',
        'refunded',
        'archived',
      ],
    },
  },
} as const;
