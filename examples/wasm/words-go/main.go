// Answers with the words of what it was sent, sorted.
package main

import (
	"fmt"
	"io"
	"os"
	"sort"
	"strings"
)

func main() {
	payload, err := io.ReadAll(os.Stdin)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	words := strings.Fields(string(payload))
	sort.Strings(words)
	fmt.Print(strings.Join(words, " "))
}
