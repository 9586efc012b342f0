// A live poll in Go, with nothing but net/http: what a response depends on, and what a request has changed, are
// response fields (RFC 9875). Behind `freshwire proxy`, every GET here can be watched.
package main

import (
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
)

var (
	mutex  sync.Mutex
	polls  = map[string]map[string]int{"lunch": {"soup": 0, "salad": 0}}
	voters = map[string][]string{} // user: what they voted for
)

const page = `<!doctype html><title>Lunch</title><h1>Lunch</h1><p id="votes"></p>
<button>soup</button> <button>salad</button>
<script>
  new EventSource("/polls/lunch").onmessage = (event) => {
    document.getElementById("votes").textContent = event.data;
  };
  for (const button of document.querySelectorAll("button"))
    button.onclick = () => fetch("/polls/lunch/votes", { method: "POST", body: button.textContent });
</script>`

func answer(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	json.NewEncoder(w).Encode(body)
}

func handle(w http.ResponseWriter, r *http.Request) {
	mutex.Lock()
	defer mutex.Unlock()
	parts := strings.Split(strings.Trim(r.URL.Path, "/"), "/")
	user := strings.TrimPrefix(r.Header.Get("Authorization"), "Bearer ")
	var poll map[string]int
	if len(parts) > 1 && parts[0] == "polls" {
		poll = polls[parts[1]]
	}
	switch {
	case r.URL.Path == "/":
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		io.WriteString(w, page)
	case r.URL.Path == "/mine" && user == "":
		w.Header().Set("WWW-Authenticate", "Bearer")
		answer(w, http.StatusUnauthorized, map[string]string{"error": "who are you?"})
	case r.URL.Path == "/mine":
		// It depends on who asks, so it is nobody else's: the node keeps it apart, and reads it again as this user.
		w.Header().Set("Cache-Groups", fmt.Sprintf("%q", "voter:"+user))
		answer(w, http.StatusOK, append([]string{}, voters[user]...))
	case poll != nil && r.Method == "GET" && len(parts) == 2:
		w.Header().Set("Cache-Groups", fmt.Sprintf("%q", "poll:"+parts[1]))
		answer(w, http.StatusOK, poll)
	case poll != nil && r.Method == "POST" && len(parts) == 3 && parts[2] == "votes":
		choice, _ := io.ReadAll(r.Body)
		if _, known := poll[string(choice)]; !known {
			answer(w, http.StatusUnprocessableEntity, map[string]string{"error": "not on the menu"})
			return
		}
		poll[string(choice)]++
		changed := fmt.Sprintf("%q", "poll:"+parts[1])
		if user != "" {
			voters[user] = append(voters[user], string(choice))
			changed += fmt.Sprintf(", %q", "voter:"+user)
		}
		// What has changed: the node's copies, and everybody who watches one, follow before this answer arrives.
		w.Header().Set("Cache-Group-Invalidation", changed)
		answer(w, http.StatusCreated, poll)
	default:
		answer(w, http.StatusNotFound, map[string]string{"error": "nothing here"})
	}
}

func main() {
	port := os.Getenv("PORT")
	if port == "" {
		port = "3000"
	}
	listener, err := net.Listen("tcp", "127.0.0.1:"+port)
	if err != nil {
		log.Fatal(err)
	}
	fmt.Printf("http://%s\n", listener.Addr())
	log.Fatal(http.Serve(listener, http.HandlerFunc(handle)))
}
