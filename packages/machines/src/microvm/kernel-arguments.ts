/** Kernel command line of every guest: quiet, and power off on panic. */
export const kernelArguments = [
  ...["console=ttyS0", "quiet", "loglevel=1", "reboot=k", "panic=-1", "mitigations=off", "audit=0"],
  ...["i8042.noaux", "i8042.nomux", "i8042.dumbkbd", "8250.nr_uarts=1", "rcupdate.rcu_expedited=1"],
];
