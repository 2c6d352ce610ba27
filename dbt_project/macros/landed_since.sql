{#
    Incremental by what landed, exactly.

    The lander stamps all rows of a transaction with one `_landed_at`, which grows strictly per (topic, partition), and
    writes it to the ledger `ingest.offsets` in the same transaction. Who sees a ledger row therefore sees every row of
    its partition up to that instant, and none can appear below it later. So "what is new" is, for each partition,

        landed_at > what this model has read already    (intermediate.watermarks)
        landed_at <= what the ledger said when the run began    (intermediate.landing_snapshots)

    without a clock, a look-back or a lost late commit:

    - `capture_landings` (on-run-start) keeps the ledger as it is now, under the run's id: all models of a run read
      up to the same place, and two runs at once do not disturb each other.
    - `landed_since` (in a model) gives the condition, with the bounds as literals, so that Postgres leaves out the
      day partitions of the raw table while it plans.
    - `commit_landings` (post-hook) moves the model's watermark in the transaction that writes its rows: a model that
      fails keeps its old one.
    - `lock_model` (first in a model) lets a second run wait until the first has written, and only then read the bounds.
#}

{% macro capture_landings() %}
    select pg_advisory_xact_lock(hashtext('plimsoll watermarks'));
    create schema if not exists intermediate;
    create table if not exists intermediate.watermarks (
        model text not null,
        topic text not null,
        partition integer not null,
        landed_at timestamptz not null,
        primary key (model, topic, partition)
    );
    comment on table intermediate.watermarks is
    'One row per incremental model, topic (or upstream model, or the model itself) and partition: all of it up to landed_at is in the model.';
    create table if not exists intermediate.landing_snapshots (
        invocation_id text not null,
        topic text not null,
        partition integer not null,
        landed_at timestamptz not null,
        captured_at timestamptz not null default clock_timestamp(),
        primary key (invocation_id, topic, partition)
    );
    comment on table intermediate.landing_snapshots is
    'One row per running dbt invocation, topic (or upstream model) and partition: how far this invocation reads.';
    delete from intermediate.landing_snapshots where captured_at < now() - interval '7 days';
    insert into intermediate.landing_snapshots (invocation_id, topic, partition, landed_at)
    select '{{ invocation_id }}', topic, partition, landed_at from ingest.offsets
    union all
    select '{{ invocation_id }}', topic, partition, landed_at from intermediate.watermarks where model = topic;
{% endmacro %}


{% macro forget_landings() %}
    delete from intermediate.landing_snapshots where invocation_id = '{{ invocation_id }}';
{% endmacro %}


{% macro commit_landings(topics) %}
    insert into intermediate.watermarks as known (model, topic, partition, landed_at)
    select '{{ this.identifier }}', topic, partition, landed_at
    from intermediate.landing_snapshots
    where invocation_id = '{{ invocation_id }}' and topic in ('{{ topics | join("', '") }}')
    on conflict (model, topic, partition) do update
    set landed_at = excluded.landed_at
    where known.landed_at < excluded.landed_at;
{% endmacro %}


{#  The partitions of a topic in which something landed since `this` was last written: (partition, from, to), least from first.
    Outside a run (compile, docs, show) nothing was captured, and the ledger itself is the upper bound. #}
{% macro landed_spans(topic) %}
    {% set query %}
        with captured as (
            select partition, landed_at
            from intermediate.landing_snapshots
            where invocation_id = '{{ invocation_id }}' and topic = '{{ topic }}'
        ),

        ledger as (
            select * from captured
            union all
            select partition, landed_at from ingest.offsets
            where topic = '{{ topic }}' and not exists (select 1 from captured)
        )

        select ledger.partition, coalesce(known.landed_at, '-infinity')::text, ledger.landed_at::text
        from ledger
        left join intermediate.watermarks as known
            on known.model = '{{ this.identifier }}'
            and known.topic = '{{ topic }}'
            and known.partition = ledger.partition
        where known.landed_at is null or known.landed_at < ledger.landed_at
        order by known.landed_at nulls first, ledger.partition
    {% endset %}
    {{ return(run_query(query).rows if execute else []) }}
{% endmacro %}


{% macro landed_since(topic) -%}
    {%- set spans = landed_spans(topic) -%}
    {%- if not spans -%}
        false
    {%- else -%}
        landed_at > '{{ spans[0][1] }}'::timestamptz
        and (
        {%- for span in spans %}
            {{ 'or ' if not loop.first }}(kafka_partition = {{ span[0] }} and landed_at > '{{ span[1] }}'::timestamptz and landed_at <= '{{ span[2] }}'::timestamptz)
        {%- endfor %}
        )
    {%- endif -%}
{%- endmacro %}


{# Rows that landed before this instant may have been dropped by retention. One day early, so that a day partition that
   is dropped while a model runs is not missed. #}
{% macro raw_kept_since() -%}
    now() - interval '{{ var("raw_retention_days") }} days' + interval '1 day'
{%- endmacro %}
