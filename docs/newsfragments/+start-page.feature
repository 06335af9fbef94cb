`/` of a server without pages is, on the machine itself, a small page that says what runs.
