# One image for every process of the platform; docker-compose.yml gives each its command.
FROM python:3.12-slim AS build
WORKDIR /src
COPY pyproject.toml README.md LICENSE ./
COPY plimsoll plimsoll
COPY ingest ingest
COPY forecasting forecasting
COPY orchestration orchestration
COPY serving serving
RUN pip wheel --no-cache-dir --no-deps --wheel-dir /wheels .

FROM python:3.12-slim
ENV PYTHONUNBUFFERED=1 \
    PLIMSOLL_MODE=production \
    PLIMSOLL_HOST=0.0.0.0 \
    PLIMSOLL_HOME=/var/lib/plimsoll \
    PLIMSOLL_CONTRACTS_DIR=/app/data/contracts \
    PLIMSOLL_DBT_PROJECT_DIR=/app/dbt_project \
    DAGSTER_HOME=/var/lib/plimsoll/dagster
WORKDIR /app
COPY requirements.lock .
RUN pip install --no-cache-dir --require-hashes -r requirements.lock
COPY --from=build /wheels /wheels
RUN pip install --no-cache-dir --no-deps /wheels/*.whl && rm -r /wheels
COPY data data
COPY dbt_project dbt_project
RUN useradd --system --create-home --home-dir /var/lib/plimsoll plimsoll && mkdir -p /var/lib/plimsoll/dagster \
    && dbt parse --project-dir dbt_project --profiles-dir dbt_project \
    && chown -R plimsoll: /var/lib/plimsoll dbt_project
USER plimsoll
ENTRYPOINT ["plimsoll"]
