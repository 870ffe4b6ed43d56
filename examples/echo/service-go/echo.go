// A service that echoes: subscribes ECHO_SUBJECT (default "echo.service") on the NATS server of NATS_URL and answers
// each request with its payload. It speaks the NATS client protocol itself, so that it needs no module to build:
//
//	CGO_ENABLED=0 go build -o echo .
package main

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"strings"
	"syscall"
)

const payloadBytesMax = 1 << 20

func setting(name, otherwise string) string {
	if value := os.Getenv(name); value != "" {
		return value
	}
	return otherwise
}

func fail(text string, err error) {
	fmt.Fprintf(os.Stderr, "%s: %v\n", text, err)
	os.Exit(1)
}

func main() {
	server, err := url.Parse(setting("NATS_URL", "nats://127.0.0.1:4222"))
	if err != nil {
		fail("Cannot read NATS_URL", err)
	}
	subject := setting("ECHO_SUBJECT", "echo.service")
	address := server.Host
	if server.Port() == "" {
		address = net.JoinHostPort(server.Hostname(), "4222")
	}
	connection, err := net.Dial("tcp", address)
	if err != nil {
		fail("Cannot reach the NATS server", err)
	}
	signals := make(chan os.Signal, 1)
	signal.Notify(signals, syscall.SIGINT, syscall.SIGTERM)
	go func() {
		<-signals
		fmt.Println("asked to stop")
		os.Exit(0)
	}()

	login := `"verbose":false,"name":"echo"`
	if password, given := server.User.Password(); given {
		login += fmt.Sprintf(`,"user":%q,"pass":%q`, server.User.Username(), password)
	} else if server.User != nil {
		login += fmt.Sprintf(`,"auth_token":%q`, server.User.Username())
	}
	fmt.Fprintf(connection, "CONNECT {%s}\r\nSUB %s 1\r\nPING\r\n", login, subject)
	serve(bufio.NewReader(connection), connection, subject)
}

func serve(in *bufio.Reader, out io.Writer, subject string) {
	serving := false
	for {
		line, err := in.ReadString('\n')
		if err != nil {
			fail("The NATS server closed the connection", err)
		}
		fields := strings.Fields(line)
		switch {
		case len(fields) == 0:
		case fields[0] == "MSG":
			answer(in, out, fields)
		case fields[0] == "PING":
			fmt.Fprint(out, "PONG\r\n")
		case fields[0] == "PONG" && !serving:
			serving = true
			fmt.Println("echo service listens on", subject)
		case fields[0] == "-ERR":
			fail("The NATS server says", fmt.Errorf("%s", strings.TrimSpace(line)))
		}
	}
}

// answer reads the payload that follows a MSG line and sends it to the reply subject, where there is one.
func answer(in *bufio.Reader, out io.Writer, fields []string) {
	bytes, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil || bytes < 0 || bytes > payloadBytesMax {
		fail("Cannot read a message", fmt.Errorf("its length is %q", fields[len(fields)-1]))
	}
	payload := make([]byte, bytes+2)
	if _, err := io.ReadFull(in, payload); err != nil {
		fail("Cannot read a message", err)
	}
	if len(fields) < 5 {
		return
	}
	fmt.Fprintf(out, "PUB %s %d\r\n%s", fields[3], bytes, payload)
	fmt.Printf("echoed %d bytes\n", bytes)
}
