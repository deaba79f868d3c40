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
    in
    {
      packages = forAllSystems (
        pkgs:
        let
          inherit (packagesOf pkgs) recrate recrate-builder recrate-fetcher;
        in
        {
          inherit recrate recrate-builder recrate-fetcher;
          default = recrate;
        }
      );

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

      overlays.default = final: _: { inherit (packagesOf final) recrate recrate-builder recrate-fetcher; };
    };
}
