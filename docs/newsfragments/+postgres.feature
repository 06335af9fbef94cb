Several servers share a replay log in PostgreSQL (`[replay] url`), and an application publishes within its own transaction (`tako_publish`).
