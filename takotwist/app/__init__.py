"""What an application imports: definitions, publishing, and the endpoints of an app elsewhere."""
