<?php

/**
 * The webmail on a mail office with a link that comes and goes.
 *
 * - Whoever logs in by an address logs in as its person. Identities and language follow the person's accounts; they
 *   are made anew at each login (lib/people.php reads them).
 * - Above the list of mails stands what is going on: the link, the last contact with the own providers, how many mails
 *   wait (lib/daemon.php asks mojomaild; the answer's form is written down there).
 * - What has not left yet is marked in Sent, and so said above the opened mail.
 *
 * Without mojomaild or its database the webmail works on, and says that it does not know.
 */
class mojomail_status extends rcube_plugin
{
    /** @var rcmail */
    private $rc;

    /** @var mojomail_people */
    private $people;

    /** @var array|null the outbox, asked for once a request */
    private $outbox;

    /** Roundcube's names for the languages the node speaks. */
    private const LANGUAGES = ['en' => 'en_GB', 'hi' => 'hi_IN', 'kn' => 'kn_IN'];

    /** States of a mail that has not left: these are marked in Sent. */
    private const UNSENT = ['waiting', 'held', 'sending', 'refused', 'cancelled'];

    /** What became of it is not known: nobody is told that it waits, and whoever opens it is told that much. */
    private const UNKNOWN = 'unknown';

    public function init()
    {
        require_once __DIR__ . '/lib/people.php';
        require_once __DIR__ . '/lib/daemon.php';

        $this->rc     = rcmail::get_instance();
        $this->people = new mojomail_people();

        $this->add_hook('startup', [$this, 'startup']);
        $this->add_hook('authenticate', [$this, 'authenticate']);
        $this->add_hook('user_create', [$this, 'user_create']);
        $this->add_hook('login_after', [$this, 'login_after']);
        $this->add_hook('storage_init', [$this, 'storage_init']);
        $this->add_hook('storage_connect', [$this, 'storage_connect']);
        $this->add_hook('identity_select', [$this, 'identity_select']);
        $this->add_hook('identity_form', [$this, 'identity_form']);
        $this->add_hook('identity_update', [$this, 'identity_update']);
        $this->add_hook('identity_create', [$this, 'identity_create']);
        $this->add_hook('identity_delete', [$this, 'identity_delete']);
        $this->add_hook('messages_list', [$this, 'messages_list']);
        $this->add_hook('message_objects', [$this, 'message_objects']);
        $this->add_hook('refresh', [$this, 'refresh']);
    }

    /** What Roundcube's own translations lack, and on the mail page the line above the list. */
    public function startup($args)
    {
        $dir   = __DIR__ . '/localization/roundcube/' . ($_SESSION['language'] ?? '') . '.inc';
        $texts = rcube::read_localization_file($dir);
        if ($texts) {
            $this->rc->load_language(null, [], $texts);
        }
        $this->add_texts('localization/');

        if ($args['task'] === 'mail' && $this->rc->output->type === 'html' && $this->rc->user->ID) {
            $this->include_stylesheet('skins/elastic/mojomail_status.css');
            if ($args['action'] === '') {
                $this->include_script('mojomail_status.js');
                mojomail_daemon::look($this->rc->get_user_name());
                $this->rc->output->set_env('mojomail_status', $this->line());
                $marks = [];
                foreach (self::UNSENT as $state) {
                    $marks[$state] = $this->gettext("mark_{$state}");
                }
                $this->rc->output->set_env('mojomail_marks', $marks);
            }
        }

        return $args;
    }

    // --- Logging in ---------------------------------------------------------------------------------

    /** An address or "Asha " means the login "asha": one person has one set of settings. */
    public function authenticate($args)
    {
        $args['user'] = $this->people->login_of((string) $args['user']);

        return $args;
    }

    /** The first login: name, addresses and language of the person. */
    public function user_create($args)
    {
        $identities = $this->people->identities($args['user']);
        if ($identities) {
            $args['user_name']  = $identities[0]['name'];
            $args['user_email'] = $identities[0]['address'];
            $args['email_list'] = array_map(function ($one) {
                return ['email' => $one['address'], 'name' => $one['name']];
            }, $identities);
            $args['language'] = $this->language($identities);
        }

        return $args;
    }

    /** Each login: identities and language as they are now. */
    public function login_after($args)
    {
        $identities = $this->people->identities($this->rc->get_user_name());
        if ($identities) {
            $this->keep_in_step($identities);
            $language = $this->language($identities);
            if ($language !== ($_SESSION['language'] ?? null)) {
                $this->rc->load_language($language);
                $this->rc->user->language = $language;
            }
        }

        return $args;
    }

    /** Lists of mails come without their ids unless asked for. */
    public function storage_init($args)
    {
        $args['fetch_headers'] = trim(($args['fetch_headers'] ?? '') . ' MESSAGE-ID');

        return $args;
    }

    /**
     * Dovecot makes those wait from whose address wrong passwords come. To it the whole village comes from this
     * machine, so each phone gets a loopback address of its own: 192.168.4.17 asks as 127.168.4.17.
     */
    public function storage_connect($args)
    {
        $from = rcube_utils::remote_addr();
        if (!filter_var($from, FILTER_VALIDATE_IP, FILTER_FLAG_IPV4)) {
            $from = '0.' . implode('.', unpack('C3', sha1($from, true)));
        }
        $args['socket_options']['socket']['bindto'] = '127' . strstr($from, '.') . ':0';

        return $args;
    }

    private function language(array $identities): string
    {
        return self::LANGUAGES[$identities[0]['language']] ?? 'en_GB';
    }

    // --- Identities: name and address are the accounts', the rest is the person's own ---------------------

    private function keep_in_step(array $wanted): void
    {
        $user = $this->rc->user;
        $have = [];
        foreach ($user->list_identities() as $identity) {
            $have[mb_strtolower($identity['email'])] = $identity;
        }
        $first = null;
        foreach ($wanted as $one) {
            $address = mb_strtolower(rcube_utils::idn_to_ascii($one['address']));
            $known   = $have[$address] ?? null;
            unset($have[$address]);
            if (!$known) {
                $id = $user->insert_identity(['name' => $one['name'], 'email' => $address]);
            } else {
                $id = $known['identity_id'];
                if ($known['name'] !== $one['name']) {
                    $user->update_identity($id, ['name' => $one['name']]);
                }
            }
            $first = $first ?? $id;
        }
        if ($first) {
            $user->set_default($first);
        }
        foreach ($have as $gone) {
            $user->delete_identity($gone['identity_id']);
        }
    }

    /** A reply to a mail that names none of the own addresses goes out from the account whose folder it lies in. */
    public function identity_select($args)
    {
        if ($args['selected'] === null && !empty($args['message']->folder)) {
            $address = $this->people->address_of_folder($this->rc->get_user_name(), $args['message']->folder);
            foreach ($args['identities'] as $index => $identity) {
                if ($address !== null && strcasecmp($identity['email'], $address) === 0) {
                    $args['selected'] = $index;
                    break;
                }
            }
        }

        return $args;
    }

    public function identity_form($args)
    {
        foreach (['name', 'email', 'standard'] as $field) {
            if (isset($args['form']['addressing']['content'][$field])) {
                $args['form']['addressing']['content'][$field]['disabled'] = true;
            }
        }

        return $args;
    }

    public function identity_update($args)
    {
        unset($args['record']['name'], $args['record']['email'], $args['record']['standard']);

        return $args;
    }

    public function identity_create($args)
    {
        // At the first login Roundcube makes them from user_create.
        return empty($args['login']) ? $this->refuse($args) : $args;
    }

    public function identity_delete($args)
    {
        return $this->refuse($args);
    }

    private function refuse(array $args): array
    {
        return ['abort' => true, 'result' => false, 'message' => $this->gettext('addresses_are_accounts')] + $args;
    }

    // --- What is going on -------------------------------------------------------------------------------------

    /** The line above the list, as text by part, in the person's language. */
    private function line(): array
    {
        $status = mojomail_daemon::status($this->rc->get_user_name());
        if (!$status) {
            return ['link' => 'unknown', 'parts' => [$this->gettext('state_unknown')]];
        }
        if ($status['up']) {
            $parts = [$this->gettext('link_up')];
        } elseif ($status['since']) {
            $parts = [$this->text('link_down', ['time' => $this->time($status['since'])])];
        } else {
            $parts = [$this->gettext('link_never')];
        }

        $contact = max(array_column($status['accounts'], 'contact') ?: [0]);
        if (in_array(true, array_column($status['accounts'], 'receiving'), true)) {
            $parts[] = $this->gettext('fetching');
        } elseif ($contact) {
            $parts[] = $this->text('last_contact', ['time' => $this->time($contact)]);
        } elseif ($status['accounts']) {
            $parts[] = $this->gettext('no_contact_yet');
        }
        if ($status['waiting']) {
            $parts[] = $this->text($status['waiting'] === 1 ? 'one_waits' : 'many_wait', ['count' => $status['waiting']]);
        }

        $trouble = [];
        foreach ($status['accounts'] as $account) {
            if ($account['trouble'] === 'password') {
                $trouble[] = $this->text('trouble_password', ['address' => $account['address']]);
            }
        }

        return ['link' => $status['up'] ? 'up' : 'down', 'parts' => $parts, 'trouble' => $trouble];
    }

    /** @param int $seconds since 1970 @return string the hour if it is today, else with the day */
    private function time(int $seconds): string
    {
        $today = $this->rc->format_date($seconds, 'Ymd') === $this->rc->format_date(time(), 'Ymd');

        return $this->rc->format_date($seconds, $today ? 'H:i' : 'j M, H:i');
    }

    private function text(string $name, array $vars): string
    {
        return $this->gettext(['name' => $name, 'vars' => array_combine(
            array_map(function ($key) { return '$' . $key; }, array_keys($vars)),
            array_values($vars)
        )]);
    }

    public function refresh($args)
    {
        if ($this->rc->task === 'mail') {
            mojomail_daemon::look($this->rc->get_user_name());
            $this->rc->output->command('plugin.mojomail_status', $this->line());
        }

        return $args;
    }

    /** What became of a mail of the own outbox; null when it was sent or was not written here. */
    private function fate(?string $message_id): ?array
    {
        if ($this->outbox === null) {
            $this->outbox = mojomail_daemon::outbox($this->rc->get_user_name());
        }
        $mail = $this->outbox[$message_id ?? ''] ?? null;
        if (!$mail || !in_array($mail['state'], self::UNSENT, true)) {
            return null;
        }

        return $mail['why'] === self::UNKNOWN ? ['state' => self::UNKNOWN] + $mail : $mail;
    }

    public function messages_list($args)
    {
        if (!empty($args['messages']) && $this->rc->storage->get_folder() === $this->rc->config->get('sent_mbox')) {
            foreach ($args['messages'] as $header) {
                $mail = $this->fate($header->messageID ?? null);
                if ($mail && $mail['state'] !== self::UNKNOWN) {
                    $header->list_flags['extra_flags']['mojomail'] = $mail['state'];
                }
            }
        }

        return $args;
    }

    public function message_objects($args)
    {
        $sent = $args['message']->folder === $this->rc->config->get('sent_mbox');
        $mail = $sent ? $this->fate($args['message']->headers->messageID ?? null) : null;
        if ($mail) {
            $text = $this->text("is_{$mail['state']}", ['time' => $this->time($mail['since'])]);
            if ($mail['said'] !== '') {
                $text .= ' ' . $mail['said'];
            }
            $args['content'][] = html::div(
                ['class' => 'mojomail-unsent boxinformation ui alert alert-info', 'role' => 'note'],
                rcube::Q($text)
            );
        }

        return $args;
    }
}
