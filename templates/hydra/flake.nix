{
  description = "Are the crates of Cargo.lock what their commits give?";

  # Wherever your recrate comes from.
  inputs.recrate.url = "git+https://git.example/recrate/recrate";

  outputs =
    { self, recrate }:
    let
      verification = recrate.lib.verification {
        plan = ./plan.json;
        # A Cargo.lock that the plan does not cover fails the evaluation: after `cargo update` comes `recrate plan`.
        lockFile = ./Cargo.lock;
        # What the project requires, and its waivers.
        policy = ./recrate.toml;
        # The day that waivers expire by: that of the commit, so that its gates stay what they are.
        date = self.lastModifiedDate or null;

        # Only for the example that this template begins with, whose crates and commits lie in recrate's repository.
        # Remove these three for a Cargo.lock and a plan of your own.
        crates = "file://${recrate}/examples/registry/registry";
        gitMirrors = "https://git.example/recrate/=${recrate}/examples/registry/repositories/";
        registry = "${recrate}/examples/registry/registry";
      };
    in
    {
      # A job for each crate, green or red, with report, diff and both crates to look at; and one over all.
      hydraJobs = { inherit (verification) verdicts report; };

      # For `nix flake check` and what walks it: fails for the crates whose job is red.
      checks.x86_64-linux = verification.gates;
    };
}
