<?php

/**
 * The people of this node, as the webmail needs them: read from /var/lib/mojomail/mojomail.db, which holds no secret.
 *
 * Reads the views dovecot_user (name, login), webmail_identity (login, position, address, name, language) and
 * dovecot_folder (login, folder, address). When the database cannot be read, everybody is as Roundcube knows them.
 */
class mojomail_people
{
    private const DATABASE = '/var/lib/mojomail/mojomail.db';

    /** @var PDO|null|false false: it cannot be opened */
    private $pdo;

    /** The login that a name means: a login or any of a person's addresses, in any case. The name itself if none. */
    public function login_of(string $name): string
    {
        $name = mb_strtolower(trim($name));
        $rows = $this->rows('SELECT login FROM dovecot_user WHERE name = ?', $name);

        return $rows[0]['login'] ?? $name;
    }

    /** Addresses a person writes from, the usual one first: rows of address, name, language. */
    public function identities(string $login): array
    {
        return $this->rows('SELECT address, name, language FROM webmail_identity WHERE login = ? ORDER BY position', $login);
    }

    /** The address whose mail lies in a folder or below it; null for the root, which is the first address's. */
    public function address_of_folder(string $login, string $folder): ?string
    {
        foreach ($this->rows('SELECT folder, address FROM dovecot_folder WHERE login = ?', $login) as $row) {
            if ($folder === $row['folder'] || str_starts_with($folder, $row['folder'] . '/')) {
                return $row['address'];
            }
        }

        return null;
    }

    private function rows(string $query, string $value): array
    {
        try {
            $this->pdo = $this->pdo ?? new PDO('sqlite:' . self::DATABASE, null, null, [
                PDO::ATTR_ERRMODE            => PDO::ERRMODE_EXCEPTION,
                PDO::ATTR_DEFAULT_FETCH_MODE => PDO::FETCH_ASSOC,
                PDO::ATTR_TIMEOUT            => 5,
                PDO::SQLITE_ATTR_OPEN_FLAGS  => PDO::SQLITE_OPEN_READONLY,
            ]);
            $statement = $this->pdo->prepare($query);
            $statement->execute([$value]);

            return $statement->fetchAll();
        } catch (PDOException $error) {
            rcube::write_log('errors', 'mojomail: people cannot be looked up: ' . $error->getMessage());

            return [];
        }
    }
}
