The Pusher protocol: `pusher-js`, Laravel Echo and the libraries for servers work with the host changed, and their channels are topics. `[pusher]`.
