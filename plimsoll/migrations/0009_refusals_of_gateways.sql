-- What a gateway refuses and cannot tell its sender: to be tried again it needs who sent it where.
ALTER TABLE ingest.rejected_messages
    ADD COLUMN address text,
    ADD COLUMN tenant_id text;
COMMENT ON TABLE ingest.rejected_messages IS
'One row per message that was refused, unchanged, with the reason and its coordinates: those in its topic, or, refused by a gateway (stage), those in the dead-letter topic.';
COMMENT ON COLUMN ingest.rejected_messages.address IS 'The MQTT topic that a gateway refused it from; null for what came through Kafka.';
COMMENT ON COLUMN ingest.rejected_messages.tenant_id IS 'Owner, by the gateway; null where only the message would say.';
