<?php

// The webmail on the node: Roundcube 1.6. Settings that are not named here are those of defaults.inc.php.

$config = [];

// Settings and address books of people; made on the first login from Roundcube's own SQL.
$config['db_dsnw'] = 'sqlite:////var/lib/roundcube/db/webmail.db?mode=0600';

// Made on the first start, on each node its own: make-webmail-key.
$config['des_key'] = trim((string) @file_get_contents('/etc/roundcube/des_key'));
$config['cipher_method'] = 'AES-256-CBC';

// --- Servers: all on this machine, no need for TLS --------------------------------
$config['imap_host'] = '127.0.0.1:143';
$config['smtp_host'] = '127.0.0.1:10587';
$config['smtp_user'] = '%u';
$config['smtp_pass'] = '%p';
$config['smtp_helo_host'] = 'localhost';
// Nothing about this machine or the LAN in what is sent.
$config['http_received_header'] = false;
$config['useragent'] = null;

// --- Speed on a Pi: the mailboxes are local, a second copy of them only wears out the card ----
$config['session_storage'] = 'php';
$config['imap_cache'] = null;
$config['messages_cache'] = false;
// A person who reads is asked for new mail once a minute; the rest of the folders less often.
$config['refresh_interval'] = 60;
$config['min_refresh_interval'] = 60;
$config['check_all_folders'] = false;
$config['mail_pagesize'] = 50;

// --- Logging in --------------------------------------------------------------------
$config['session_lifetime'] = 120;
$config['login_lc'] = 2;
$config['login_autocomplete'] = 2;
$config['ip_check'] = false;
$config['use_https'] = true;
$config['session_samesite'] = 'Strict';
$config['log_driver'] = 'syslog';
$config['syslog_id'] = 'roundcube';
$config['log_logins'] = false;
$config['temp_dir'] = '/var/lib/roundcube/temp';

// --- Folders: local, made by Dovecot ---------------------------------------------------
$config['drafts_mbox'] = 'Drafts';
$config['sent_mbox'] = 'Sent';
$config['trash_mbox'] = 'Trash';
$config['junk_mbox'] = 'Junk';
$config['create_default_folders'] = false;
$config['lock_special_folders'] = true;
$config['show_real_foldernames'] = false;

// --- Reading -------------------------------------------------------------------------------
// By date: the order of arrival is the order of download.
$config['message_sort_col'] = 'date';
$config['message_sort_order'] = 'DESC';
$config['prefer_html'] = true;
// Pictures from afar cross the link, and tell the sender that the mail was read.
$config['show_images'] = 0;
// Nobody is told by himself that his mail was read: that would be a mail more.
$config['mdn_requests'] = 2;
$config['autoexpand_threads'] = 2;
$config['delete_junk'] = false;
$config['display_next'] = true;
$config['preview_pane'] = true;

// --- Writing ---------------------------------------------------------------------------------
// Plain text: HTML is five times the bytes.
$config['htmleditor'] = 0;
$config['compose_extwin'] = false;
$config['draft_autosave'] = 180;
$config['reply_mode'] = 1;
$config['reply_same_folder'] = false;
$config['sig_below'] = true;
// message_size_limit of Postfix, which says no with the same number.
$config['max_message_size'] = '10M';
$config['max_recipients'] = 200;
$config['max_group_members'] = 100;
$config['max_disclosed_recipients'] = 0;
$config['spellcheck_engine'] = null;
$config['enable_spellcheck'] = false;
// Names and addresses come from the accounts (plugin mojomail_status); signatures are people's own.
$config['identities_level'] = 1;

// --- Looks --------------------------------------------------------------------------------------
$config['product_name'] = 'Village mail';
$config['support_url'] = '';
$config['skin'] = 'elastic';
// The language that stands with the person; before login the browser's.
$config['language'] = null;
$config['timezone'] = 'auto';
$config['date_format'] = 'Y-m-d';
$config['time_format'] = 'H:i';
$config['prettydate'] = true;
$config['dont_override'] = [
    'drafts_mbox', 'sent_mbox', 'trash_mbox', 'junk_mbox', 'refresh_interval', 'mdn_requests', 'show_images',
    'language', 'check_all_folders', 'draft_autosave', 'htmleditor', 'skin',
];

$config['plugins'] = ['jqueryui', 'mojomail_status'];

// New mail of long ago is read too; nothing is fetched from Roundcube's makers.
$config['enable_installer'] = false;
