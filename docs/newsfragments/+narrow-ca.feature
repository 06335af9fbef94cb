A new development CA signs for localhost, its subdomains, 127.0.0.1 and ::1 only; private names beyond this machine get a CA of their own.
