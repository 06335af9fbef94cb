Users of Pusher apps who sign in with a watchlist are told which of its users are online. `watchlists` of the app.
