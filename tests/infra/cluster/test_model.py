from infra.cluster.model import ModelServer, flags


def test_engine_arguments_become_words_of_a_command_line():
    words = flags({"max_num_seqs": 4, "enforce_eager": True, "disable_log_stats": False, "a_b": {"c": [1]}})
    assert words == [
        "--max-num-seqs", "4", "--enforce-eager", "--no-disable-log-stats", "--a-b", '{"c": [1]}',
    ]  # fmt: skip


def test_the_server_has_the_arguments_of_the_settings_and_its_key_is_on_no_command_line(
    make_settings, tmp_path
):
    (tmp_path / "model").mkdir()
    (tmp_path / "model" / "config.json").write_text("{}")
    (tmp_path / "model" / "model.safetensors").write_bytes(b"weights")
    settings = make_settings(GENERATION__MODEL=str(tmp_path / "model"), GENERATION__VLLM__MAX_NUM_SEQS="3")
    server = ModelServer(settings, 8200)
    service = server.service({"PATH": "/bin"})
    words = list(service.command)
    assert words[words.index("--max-num-seqs") + 1] == "3"
    assert words[words.index("--served-model-name") + 1] == settings.generation.model
    assert words[words.index("--host") + 1] == "127.0.0.1"
    assert not [word for word in words if server.key in word]
    assert (
        service.env["VLLM_API_KEY"] == server.for_jobs()["NIGHTMILL_GENERATION__HTTP__API_KEY"] == server.key
    )
    assert server.key not in repr(server)
