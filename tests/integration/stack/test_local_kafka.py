import os
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from plimsoll.stack.errors import StackError
from plimsoll.stack.guard import wait_for_exit
from plimsoll.stack.kafka import LocalKafka
from plimsoll.stack.kafka_jars import default_cache_dir
from plimsoll.stack.ports import free_port

pytestmark = pytest.mark.integration

TOPIC = "kept"


@pytest.fixture
def kafka(state_dir: Path) -> Iterator[LocalKafka]:
    broker = LocalKafka(state_dir, free_port(), free_port())
    yield broker
    broker.forget()


def broker_pid(state_dir: Path) -> int:
    return int((state_dir / "kafka" / "broker.pid").read_text().split()[0])


def produce(bootstrap: str, values: list[bytes]) -> None:
    from kafka import KafkaProducer

    producer = KafkaProducer(bootstrap_servers=bootstrap)
    for sent in [producer.send(TOPIC, value) for value in values]:
        sent.get(timeout=10)
    producer.close()


def consume(bootstrap: str) -> list[bytes]:
    from kafka import KafkaConsumer, TopicPartition

    consumer = KafkaConsumer(bootstrap_servers=bootstrap)
    partition = TopicPartition(TOPIC, 0)
    consumer.assign([partition])
    consumer.seek_to_beginning(partition)
    end = consumer.end_offsets([partition])[partition]
    values: list[bytes] = []
    while len(values) < end:
        values += [record.value for records in consumer.poll(1000).values() for record in records]
    consumer.close()
    return values


def create_topic(bootstrap: str) -> None:
    from kafka.admin import KafkaAdminClient, NewTopic

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    admin.create_topics([NewTopic(TOPIC, num_partitions=1, replication_factor=1)])
    admin.close()


def cluster_id(bootstrap: str) -> str:
    from kafka.admin import KafkaAdminClient

    admin = KafkaAdminClient(bootstrap_servers=bootstrap)
    found = admin.describe_cluster()["cluster_id"]
    admin.close()
    return found


def test_records_and_cluster_id_survive_a_kill_and_a_restart_on_other_ports(kafka: LocalKafka, state_dir: Path) -> None:
    bootstrap = kafka.start()
    first_id = cluster_id(bootstrap)
    create_topic(bootstrap)
    produce(bootstrap, [b"before the kill"])

    pid = broker_pid(state_dir)
    os.kill(pid, signal.SIGKILL)
    wait_for_exit(pid, 5)
    assert not kafka.is_running()
    produce(kafka.start(), [b"after it"])
    kafka.stop()
    assert not kafka.is_running()

    moved = LocalKafka(state_dir, free_port(), free_port())
    try:
        bootstrap = moved.start()
        assert consume(bootstrap) == [b"before the kill", b"after it"]
        assert cluster_id(bootstrap) == first_id
    finally:
        moved.stop()


def test_running_broker_is_taken_over_on_its_port_and_left_alone_on_another(kafka: LocalKafka, state_dir: Path) -> None:
    bootstrap = kafka.start()
    pid = broker_pid(state_dir)

    elsewhere = LocalKafka(state_dir, free_port(), free_port())
    with pytest.raises(StackError, match=f"already runs on .* with port {kafka.port}"):
        elsewhere.start()
    elsewhere.stop()
    assert kafka.is_running()

    second = LocalKafka(state_dir, kafka.port, kafka.controller_port)
    assert second.start() == bootstrap
    assert broker_pid(state_dir) == pid
    second.stop()
    assert not kafka.is_running()


@pytest.mark.parametrize(
    ("taken", "sentence"),
    [
        ("port", "(needed by Apache Kafka): set PLIMSOLL_KAFKA_PORT to a free one"),
        (
            "controller_port",
            "(needed by Apache Kafka's controller): set PLIMSOLL_KAFKA_CONTROLLER_PORT to a free one",
        ),
    ],
)
def test_taken_port_is_one_clear_sentence(kafka: LocalKafka, taken: str, sentence: str) -> None:
    port = getattr(kafka, taken)
    with socket.create_server(("127.0.0.1", port)), pytest.raises(StackError) as refused:
        kafka.start()

    assert str(refused.value) == f"port {port} is taken {sentence}"


@pytest.mark.parametrize("present", [[], ["java"]])
def test_missing_java_or_maven_names_the_three_ways_to_get_a_broker(
    state_dir: Path, monkeypatch: pytest.MonkeyPatch, present: list[str]
) -> None:
    programs = state_dir / "bin"
    programs.mkdir()
    for name in present:
        (programs / name).symlink_to(str(shutil.which(name)))
    monkeypatch.setenv("PATH", str(programs))

    with pytest.raises(StackError) as refused:
        LocalKafka(state_dir, free_port(), free_port(), cache_dir=state_dir / "no jars yet").start()

    missing = "no `mvn`" if present else "no `java`"
    for words in (missing, "apt install openjdk-17", "set KAFKA_HOME", "set KAFKA_BOOTSTRAP_SERVERS"):
        assert words in str(refused.value)


def test_interrupted_download_leaves_no_half_cache(state_dir: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = state_dir / "cache" / "kafka"
    started, ended = threading.Event(), threading.Event()
    # An empty repository makes Maven fetch everything, which gives time to interrupt it.
    monkeypatch.setenv("MAVEN_OPTS", f"-Dmaven.repo.local={state_dir / 'repository'}")
    kafka = LocalKafka(state_dir, free_port(), free_port(), cache_dir=cache, say=lambda text: started.set())

    def interrupt() -> None:
        started.wait(30)
        for _ in range(300):
            if (state_dir / "repository").exists():
                break
            ended.wait(0.1)
        kafka.stop()

    interrupter = threading.Thread(target=interrupt)
    interrupter.start()
    with pytest.raises(StackError, match="Maven failed"):
        kafka.prepare()
    ended.set()
    interrupter.join()

    assert list(cache.parent.iterdir()) == []


def test_installed_kafka_is_used_and_a_wrong_folder_is_named(state_dir: Path, kafka: LocalKafka) -> None:
    libs = kafka.prepare()

    installed = LocalKafka(state_dir, 1, 2, kafka_home=default_cache_dir(), cache_dir=state_dir / "unused")
    assert installed.prepare() == libs
    with pytest.raises(StackError, match=f"KAFKA_HOME is {state_dir}, but there is no broker"):
        LocalKafka(state_dir, 1, 2, kafka_home=state_dir).prepare()
