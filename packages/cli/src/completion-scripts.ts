/** The scripts that teach a shell to ask `nex` itself what can follow. */

export const shells = ["bash", "zsh", "fish"] as const;
export type Shell = (typeof shells)[number];

/** Where nothing is found, the shell offers files. */
export const completionScripts: Readonly<Record<Shell, string>> = {
  bash: `# Completion of nex for bash; put into ~/.bashrc: source <(nex completion bash)
_nex() {
  local IFS=$'\\n'
  COMPREPLY=($("$1" completion bash -- "\${COMP_WORDS[@]:1:COMP_CWORD}" 2>/dev/null))
}
complete -o default -F _nex nex
`,
  zsh: `#compdef nex
# Completion of nex for zsh; put into ~/.zshrc, after compinit: source <(nex completion zsh)
_nex() {
  local -a found
  found=("\${(@f)$("\${(Q)words[1]}" completion zsh -- "\${(@)words[2,CURRENT]}" 2>/dev/null)}")
  if [[ -n "\${found[1]}" ]]; then
    _describe nex found
  else
    _files
  fi
}
compdef _nex nex
`,
  fish: `# Completion of nex for fish; put into ~/.config/fish/config.fish: nex completion fish | source
function __nex_complete
  set -l before (commandline -opc)
  set -l typed (commandline -ct)
  set -l found ($before[1] completion fish -- $before[2..-1] "$typed" 2>/dev/null)
  if set -q found[1]
    printf '%s\\n' $found
  else
    __fish_complete_path "$typed"
  end
end
complete -c nex -f -a '(__nex_complete)'
`,
};

/** A candidate as a shell wants it: bash takes words only, the others say what a word is for. */
export function candidateLine(shell: Shell, word: string, description: string): string {
  if (shell === "bash" || description === "") return shell === "zsh" ? escapeColons(word) : word;
  return shell === "zsh" ? `${escapeColons(word)}:${description}` : `${word}\t${description}`;
}

function escapeColons(text: string): string {
  return text.replaceAll(":", "\\:");
}
