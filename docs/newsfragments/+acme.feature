A certificate of a public authority is obtained and renewed while the server runs: `tls.domains`, and the extra `acme`.
