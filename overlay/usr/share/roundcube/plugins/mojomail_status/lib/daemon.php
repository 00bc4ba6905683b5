<?php

/**
 * Asks mojomaild what is going on for one person, on its control socket: a line of JSON there, a line back.
 *
 *   {"call": "webmail-status", "person": "asha"}
 *
 *   {
 *     "ok": true,
 *     "link": {"state": "up" | "down" | "connecting", "since": 1795358143},
 *     "accounts": [
 *       {"address": "asha@example.com", "last_contact": 1795358143 | null, "syncing": false,
 *        "trouble": null | "the password no longer works ..."}
 *     ],
 *     "outbox": [
 *       {"message_id": "<...>", "state": "waiting" | "held" | "sending" | "sent" | "refused" | "cancelled",
 *        "since": 1795358143, "reason": null | "what the provider said"}
 *     ]
 *   }
 *
 * Times are seconds since 1970. Texts (trouble, reason) are in the person's language and plain. "outbox" holds the
 * person's mails that have not left and those that were refused or cancelled in the last days; what is not named has
 * left. The question also says that this person is looking: mojomaild may fetch that mail first. Anything else is
 * taken as no answer.
 */
class mojomail_daemon
{
    private const SOCKET = '/run/mojomail/control';

    /** Seconds a click may wait for the answer. */
    private const PATIENCE = 1.0;

    /** Bytes an answer may have. */
    private const LIMIT = 1000000;

    public static function status(string $person): ?array
    {
        $socket = @stream_socket_client('unix://' . self::SOCKET, $errno, $error, self::PATIENCE);
        if (!$socket) {
            return null;
        }
        stream_set_timeout($socket, 0, (int) (self::PATIENCE * 1e6) - 1);
        fwrite($socket, json_encode(['call' => 'webmail-status', 'person' => $person]) . "\n");
        $line = stream_get_line($socket, self::LIMIT, "\n");
        fclose($socket);

        return self::parse($line === false ? '' : $line);
    }

    /** The answer, with every field there and of its kind; null when it is none. */
    public static function parse(string $line): ?array
    {
        $answer = json_decode($line, true);
        if (!is_array($answer) || ($answer['ok'] ?? null) !== true
            || !in_array($answer['link']['state'] ?? null, ['up', 'down', 'connecting'], true)
            || !is_array($answer['accounts'] ?? null) || !is_array($answer['outbox'] ?? null)
        ) {
            return null;
        }

        return [
            'link'     => ['state' => $answer['link']['state'], 'since' => (int) ($answer['link']['since'] ?? 0)],
            'accounts' => array_map(function ($one) {
                return [
                    'address'      => (string) ($one['address'] ?? ''),
                    'last_contact' => isset($one['last_contact']) ? (int) $one['last_contact'] : null,
                    'syncing'      => ($one['syncing'] ?? false) === true,
                    'trouble'      => isset($one['trouble']) ? (string) $one['trouble'] : null,
                ];
            }, array_values($answer['accounts'])),
            'outbox'   => array_map(function ($one) {
                return [
                    'message_id' => (string) ($one['message_id'] ?? ''),
                    'state'      => (string) ($one['state'] ?? ''),
                    'since'      => (int) ($one['since'] ?? 0),
                    'reason'     => isset($one['reason']) ? (string) $one['reason'] : null,
                ];
            }, array_values($answer['outbox'])),
        ];
    }
}
