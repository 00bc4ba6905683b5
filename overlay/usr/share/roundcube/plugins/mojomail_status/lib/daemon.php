<?php

/**
 * Asks mojomaild what is going on for one person, on its control socket: a line of JSON there, a line back. The webmail
 * may ask for any one person, since it let that person in. Of the answers is used (times: seconds since 1970):
 *
 *   {"v": 1, "do": "sync", "person": "asha"}      the person is looking: mojomaild may fetch that mail first
 *
 *   {"v": 1, "do": "status", "person": "asha"}
 *   {"v": 1, "ok": true, "link": {"up": true, "since": 1795358143, "contact": 1795358143 | null}, "waiting_own": 2,
 *    "accounts": [{"address": "asha@example.com", "receiving": false, "synced_at": 1795358143 | null,
 *                  "trouble": null | "password" | ..., "paused": false}]}
 *
 *   {"v": 1, "do": "outbox", "person": "asha"}
 *   {"v": 1, "ok": true, "mails": [{"message_id": "<...>", "state": "waiting" | "held" | "sending" | "sent" |
 *    "refused" | "cancelled", "why": null | "link" | "unknown" | ..., "submitted_at": 1795358143, "copy": false,
 *    "recipients": [{"said": "..."}]}]}
 *
 * "why" is what a mail waits for; "unknown" says that it has left the queue, and nobody knows whether it was sent. "copy"
 * says that all recipients live here and have the mail: what waits is only their providers' copy. Anything else is taken
 * as no answer.
 */
class mojomail_daemon
{
    private const SOCKET = '/run/mojomail/control';

    /** Seconds a click may wait for an answer. */
    private const PATIENCE = 2;

    /** Bytes an answer may have. */
    private const LIMIT = 1000000;

    /** Tell mojomaild that a person is looking. */
    public static function look(string $person): void
    {
        self::ask('sync', $person);
    }

    /** Link, accounts and the number of waiting mails, every field there and of its kind; null when there is no answer. */
    public static function status(string $person): ?array
    {
        $answer = self::ask('status', $person);
        if (!is_array($answer['link'] ?? null) || !is_array($answer['accounts'] ?? null)) {
            return null;
        }

        return [
            'up'       => ($answer['link']['up'] ?? false) === true,
            'since'    => (int) ($answer['link']['since'] ?? 0),
            'waiting'  => (int) ($answer['waiting_own'] ?? 0),
            'accounts' => array_map(function ($one) {
                return [
                    'address'   => (string) ($one['address'] ?? ''),
                    'receiving' => ($one['receiving'] ?? false) === true,
                    'contact'   => (int) ($one['synced_at'] ?? 0),
                    'trouble'   => isset($one['trouble']) ? (string) $one['trouble'] : null,
                ];
            }, array_values($answer['accounts'])),
        ];
    }

    /** What became of a person's mails that are not village mail alone: state, why, since and said, by Message-ID. */
    public static function outbox(string $person): array
    {
        $mails = [];
        foreach (self::ask('outbox', $person)['mails'] ?? [] as $mail) {
            if (is_string($mail['message_id'] ?? null) && ($mail['copy'] ?? false) !== true) {
                $said = array_filter(array_column($mail['recipients'] ?? [], 'said'));

                $mails[$mail['message_id']] = [
                    'state' => (string) ($mail['state'] ?? ''),
                    'why'   => (string) ($mail['why'] ?? ''),
                    'since' => (int) ($mail['submitted_at'] ?? 0),
                    'said'  => (string) reset($said),
                ];
            }
        }

        return $mails;
    }

    private static function ask(string $verb, string $person): ?array
    {
        $socket = @stream_socket_client('unix://' . self::SOCKET, $errno, $error, self::PATIENCE);
        if (!$socket) {
            return null;
        }
        stream_set_timeout($socket, self::PATIENCE);
        fwrite($socket, json_encode(['v' => 1, 'do' => $verb, 'person' => $person]) . "\n");
        $line = stream_get_line($socket, self::LIMIT, "\n");
        fclose($socket);
        $answer = json_decode($line === false ? '' : $line, true);

        return is_array($answer) && ($answer['ok'] ?? null) === true ? $answer : null;
    }
}
