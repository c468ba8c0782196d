"""The message id of each event that somebody may want to look for, or to have explained.

Owns: the table. An id is for ever: journal matches, alert rules and the message catalog (`journalctl -x`) name it. Runs in: every
process. Must not know: what writes it.

They mean the same whichever process says it. New events get an id of their own (`uuid.uuid4().hex`, as `journalctl --new-id128`).
"""

from __future__ import annotations

from collections.abc import Mapping

MESSAGE_IDS: Mapping[str, str] = {
    "starting": "71c0a7b61ab0469b9e48927b72410cb9",
    "ready": "c9198b916a7d428090868bd773016241",
    "stopping": "e7d229e84cf74b65baa54e3a5917ead5",
    "stopped": "debb6b06768147c798693c252f3b0d20",
    "boot_failed": "3d913182d8734336a6822adf7b8f8ff4",
    "upgraded": "ec24f5926463405fb60333540af4095b",
    "upgrade_failed": "4d492f2471e84457a255aa1ff9a0454f",
    "reload_started": "6dd7ec799e4e4b0690daf5162e946a85",
    "reload_done": "58ae833ef7b74b86a8efca30d1c55b20",
    "reload_failed": "27545afbd71e4622a9de4363ba707b2a",
    "rollback_started": "43e223f2489d4659bb3c8250f7854d5a",
    "rollback_done": "4fe5b4c7a0f547f0850cd5dbfe2f103c",
    "rollback_failed": "37e7d52f63d94c6fa0fc3c1c2a5c526d",
    "rollback_refused": "2d1934fd8ac04b248ffa381f9286653e",
    "settings_invalid": "a7f135a023e74e28a2c3fe5ba1b69464",
    "settings_refused": "45dc874e360b4ac0bae52a92cbd4c7fa",
    "worker_ready": "e871e1c148fe460eb2d5bcc43728346f",
    "worker_exited": "e6ea5899ae3a48889b006c3675f2118d",
    "worker_recycling": "e718a32ee30a4b1196f6411716b588fe",
    "worker_crashed": "fcffb54fa9e64dd691acd3983cd09121",
    "zygote_failed": "b15f767f29ad4fbca327af5199d6ece9",
    "zygote_exited": "c20bbb967c224772bd255ebe415cb814",
    "not_preloaded": "0b75a391d7634a12838ca9cb14412652",
    "request_failed": "a7edc094e8d549d289c6c7ff1e93ad85",
    "request_slow": "356f3f403e2f42a8992ec4c423689125",
    "request_slow_ended": "bf1258de80524889b398f7f2c7456585",
    "request_timeout": "0b2782ec17294c6cb0724707e14308f5",
    "request_interrupted": "d5b57c7f97ff48818221a84839f33377",
    "request_taken_over": "b74506e2568f429ba4fc19caa169bcde",
    "request_came_back": "4a0d33adc3e342e3a304a2bd70ac5f91",
    "request_stuck": "21d72db883fb4ed2b3539466e04a0610",
    "requests_shed": "b77d3af13156459fa3f6615ef7efeb14",
    "bad_response": "0a326125b79e4c9a932044b9d2249456",
    "queue_full": "acad36f664bb4416a6cec050ed0ddeec",
    "paused": "ff922a4473fe4a65b191eba30b9227bc",
    "resumed": "ddfe7954a76847d3b0a6186fb651c45a",
    "scaled": "470cecd92e6d45718c5020ea3a4ef475",
    "not_scaled": "8f666fd5fd924443b89541046163ebfe",
    "logs_reopened": "aa72c5ba7dee476c843b5b9511e78579",
    "log_not_reopened": "ce053613ec1545669ce7901e0dfa09b3",
    "log_lines_lost": "05776ebbb3df4b9c9230c92775f72a96",
    "hook_failed": "3de787daef554479a5f9fb4dda130fc9",
    "hooks_skipped": "8aa5400e0f8042d79f7f4857674c3234",
    "listening_ended": "82765f44dcdd4ea0a50d642691e3e7cd",
    "backlog_limited": "4fdc4f1dbfb84db4a99463b44b597403",
    "control_unavailable": "a4d0aa6417e94717a70b1b5d41f144d3",
    "certificate_warning": "354a2e53e7d44c9da878fbc2244af4e9",
    "clock_jumped": "8142a69de2f243a687f689ddea28a62b",
    "metrics_full": "59d6fdd63f7f4c33b7ad3aa9ed4c7999",
    "metrics_unavailable": "d5f33a4a58744afb9c70bc7faf671302",
    "listen_queue_full": "07629ca6d7b24dd085816d8382df48f6",
    "scoreboard_full": "d6be5c6a61944dfdbc6b739b2738e08e",
    "channel_broken": "9d01bc95f04944e3aa847802bc7e13f5",
    "internal_error": "5ddbcb1fb8ab40028aef99cbbd15dcfc",
}
"""Event -> 128 bits in hexadecimal (sd-id128(3))."""
