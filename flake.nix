{
  description = "Rebuild every crate of a Cargo.lock from its git commit in the Nix sandbox, and compare bit for bit";

  # Only for building recrate itself: what recrate builds needs no nixpkgs.
  inputs.nixpkgs.url = "github:NixOS/nixpkgs/nixos-unstable-small";

  outputs =
    { self, nixpkgs }:
    let
      systems = [
        "x86_64-linux"
        "aarch64-linux"
      ];
      forAllSystems =
        make:
        builtins.listToAttrs (
          map (system: {
            name = system;
            value = make nixpkgs.legacyPackages.${system};
          }) systems
        );
      packagesOf = pkgs: import ./nix/packages.nix { inherit pkgs; };
      programsOf =
        pkgs:
        removeAttrs (packagesOf pkgs) [
          "programs"
          "runtime"
        ];

      # The example registry, with everything where it lies in this flake.
      example = self.lib.verification {
        plan = ./examples/registry/plan.json;
        lockFile = ./examples/registry/Cargo.lock;
        crates = "file://${./examples/registry/registry}";
        gitMirrors = "https://git.example/recrate/=${./examples/registry/repositories}/";
        registry = "${./examples/registry/registry}";
      };
    in
    {
      packages = forAllSystems (pkgs: programsOf pkgs // { default = (packagesOf pkgs).recrate; });

      # From a plan, a file or what is in it, to { rebuilds, verdicts, gates, report }: verdicts and report are for
      # `hydraJobs`, gates for `checks`. See nix/plan.nix for what else it takes, like `policy`. Takes this flake's own
      # programs and a C library of nixpkgs in place of those that the plan pins, which only a store that has them could
      # use.
      lib.verification =
        arguments@{ plan, ... }:
        let
          read = if builtins.isAttrs plan then plan else builtins.fromJSON (builtins.readFile plan);
          jobs = import ./nix/plan.nix (
            { inherit (packagesOf nixpkgs.legacyPackages.${read.system}) programs runtime; }
            // arguments
            // {
              plan = read;
            }
          );
          # Flake outputs are jobs and nothing else.
          flat = set: removeAttrs set [ "recurseForDerivations" ];
        in
        {
          rebuilds = flat jobs.rebuilds;
          verdicts = flat jobs.verdicts;
          gates = flat jobs.gates;
          inherit (jobs) report;
        };

      # A job for each crate of the example registry, red and green, and the aggregate.
      hydraJobs = { inherit (example) verdicts report; };

      checks = forAllSystems programsOf;

      templates.hydra = {
        path = ./templates/hydra;
        description = "Verify a Cargo.lock in Hydra: a job for each crate, and one over all";
      };
      templates.github = {
        path = ./templates/github;
        description = "Verify what pull requests change, with GitHub's or Forgejo's actions";
      };
      templates.gitlab = {
        path = ./templates/gitlab;
        description = "Verify what merge requests change, with GitLab's pipelines";
      };
      templates.default = self.templates.hydra;

      # nix run .#verify -- Cargo.lock
      apps = forAllSystems (
        pkgs:
        let
          verify = {
            type = "app";
            program = "${(packagesOf pkgs).recrate}/bin/recrate-verify";
          };
        in
        {
          inherit verify;
          default = verify;
        }
      );

      devShells = forAllSystems (pkgs: {
        default = pkgs.mkShell {
          packages = [
            pkgs.cargo
            pkgs.clippy
            pkgs.git
            pkgs.nix
            pkgs.rustc
            pkgs.rustfmt
          ];
        };
      });

      formatter = forAllSystems (pkgs: pkgs.nixfmt);

      overlays.default = final: _: programsOf final;
    };
}
