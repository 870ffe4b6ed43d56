/** What every guest is booted with: a quiet kernel, which turns the machine off when something is wrong. */
export const kernelArguments = [
  ...["console=ttyS0", "quiet", "loglevel=1", "reboot=k", "panic=-1", "mitigations=off", "audit=0"],
  ...["i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "8250.nr_uarts=1", "rcupdate.rcu_expedited=1"],
];
